"""A page in the browser for looking into pictures by their tokens, editing them, and searching with
them: `stellar explore`.

`gallery.py` holds the pictures and `workbench.py` the models, which looks at a picture after the
steps of an edit (`steps.py`). `finder.py` finds pictures, and `overview.py` what is in all of them.
`app.py` answers the page in `page/`, in the words of `payload.py`; `guard.py` keeps everybody else
out, `bodies.py` and `turns.py` the machine alive. `serving.py` starts it all.
"""

from stellar.exploring.finder import Finder
from stellar.exploring.gallery import Gallery
from stellar.exploring.serving import Server
from stellar.exploring.workbench import ExploreError, Workbench

__all__ = ["ExploreError", "Finder", "Gallery", "Server", "Workbench"]
