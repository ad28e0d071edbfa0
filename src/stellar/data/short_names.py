"""Names for what a user knows by its path."""

import os
from collections.abc import Sequence
from itertools import count


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


def numbered(names: Sequence[str]) -> list[str]:
    """The same names of files, no two alike: what comes again is called `x (2).png`."""
    known, found = set(names), dict[str, None]()
    if len(known) == len(names):
        return list(names)
    for name in names:
        if name in found:
            stem, _, extension = name.rpartition(".")
            others = (f"{stem} ({number}).{extension}" for number in count(2))
            name = next(other for other in others if other not in known)
            known.add(name)
        found[name] = None
    return list(found)
