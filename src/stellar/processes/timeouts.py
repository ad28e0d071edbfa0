"""How long the processes of a command wait for each other, in seconds, before one counts as stuck.
The environment says otherwise, so that a run's configuration does not depend on its machine.
"""

import os

from stellar.errors import UserError
from stellar.quantities import whole_number

WORKER, RANK = "STELLAR_WORKER_TIMEOUT", "STELLAR_RANK_TIMEOUT"


def worker_timeout() -> int:
    """For a batch of a loader's worker; 0: for ever."""
    return _seconds(WORKER, 600, least=0)


def rank_timeout() -> int:
    """For the other processes of a run: by default more than it takes to notice a stuck worker."""
    return _seconds(RANK, 900, least=1)


def _seconds(name: str, default: int, least: int) -> int:
    given = os.environ.get(name, "")
    if not given:
        return default
    seconds = whole_number(given)
    if seconds is None or seconds < least:
        raise UserError(
            f"the environment variable {name} must be a whole number of seconds, at least {least}, "
            f"got {given[:200]!r}"
        )
    return seconds
