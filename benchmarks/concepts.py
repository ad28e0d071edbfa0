"""What concepts are of: scenes, whose things are known, are embedded and indexed, and their tokens
grouped without being told anything.

    python benchmarks/concepts.py
    python benchmarks/concepts.py runs/scenes

For each colour, and for each kind, the concept whose share of a picture tells best whether such a
thing is in it, by average precision; the mean over colours, and over kinds. Beside it the same with
the pictures' shares in another order, which is chance, choice of the concept included.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import stellar
from finding import SEARCHED, searched
from stellar.data import open_embedded
from stellar.data.scenes import COLOURS, KINDS
from table import header, table

COUNTS = 24, 48, 96


def average_precision(scores: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Of each column of scores (n, c), for what the n pictures have."""
    hit = has[np.argsort(-scores, axis=0, kind="stable")]
    precision = hit.cumsum(axis=0) / np.arange(1, len(hit) + 1)[:, None]
    return (precision * hit).sum(axis=0) / hit.sum(axis=0)


def main(name: str = "stellar-scenes") -> None:
    scenes = open_embedded("scenes", "heldout", stellar.load(name).config, length=SEARCHED)
    things = [scenes.scene(number).objects for number in range(SEARCHED)]
    names = {"colour": range(len(COLOURS)), "kind": range(len(KINDS))}
    has = {
        (what, value): np.array([any(getattr(t, what) == value for t in some) for some in things])
        for what, values in names.items()
        for value in values
    }
    rows = []
    with TemporaryDirectory() as folder:
        index = searched(name, scenes, Path(folder))
        for count in COUNTS:
            shares = index.concepts(count).shares
            shuffled = np.random.default_rng(0).permutation(shares)
            row = [str(count)]
            for what, values in names.items():
                found, chance = (
                    np.mean([average_precision(by, has[what, value]).max() for value in values])
                    for by in (shares, shuffled)
                )
                row.append(f"{found:.2f} ({chance:.2f})")
            rows.append(row)
    print(header("What concepts are of"))
    print(table(["concepts", "a colour", "a kind"], rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
