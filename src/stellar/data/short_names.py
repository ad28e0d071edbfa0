"""Names for what a user knows by its path."""

import os
from collections.abc import Sequence


def short_names(paths: Sequence[str]) -> list[str]:
    """The last parts of some paths or addresses: one, or as many as all but what they share where
    one would not tell them apart.
    """
    parts = [path.replace(os.sep, "/").split("/") for path in paths]
    last = [each[-1] for each in parts]
    if len(set(last)) == len(set(paths)):
        return last
    shared = next(n for n, level in enumerate(zip(*parts, strict=False)) if len(set(level)) > 1)
    return ["/".join(each[shared:]) for each in parts]
