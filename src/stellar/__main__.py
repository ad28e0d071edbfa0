"""`python -m stellar` is `stellar`."""

import sys

from stellar.cli import main

sys.exit(main())
