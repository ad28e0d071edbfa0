"""What searches find: scenes, whose things are known, are embedded, indexed, and searched with
things that are pointed at, and as whole pictures.

    python benchmarks/finding.py
    python benchmarks/finding.py runs/scenes

Among the ten best, without the picture that is asked with: the share of pictures that have a thing
of the same colour, the same kind, and one of both. With whole pictures: of the colours that either
has, how many both have.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import stellar
from stellar.data import open_embedded
from stellar.data.scenes import SceneObject, Scenes
from stellar.searching import Hit, Index
from table import header, table

SEARCHED, ASKED, BEST = 1000, 300, 10
QUADRANTS = ("upper-left", "upper-right", "lower-left", "lower-right")
ALIKE: dict[str, Callable[[SceneObject, SceneObject], bool]] = {
    "of its colour": lambda one, other: one.colour == other.colour,
    "of its kind": lambda one, other: one.kind == other.kind,
    "of both": lambda one, other: (one.colour, one.kind) == (other.colour, other.kind),
}


def searched(name: str, scenes: Scenes, folder: Path) -> Index:
    """The index of the scenes' pictures."""
    (pictures := folder / "scenes").mkdir()
    for number in range(SEARCHED):
        pixels = scenes.read(number).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    stellar.embed(stellar.load(name), pictures, folder / "scenes.parquet")
    stellar.build_index(folder / "scenes.parquet", folder / "index", pictures=pictures)
    return stellar.open_index(folder / "index")


def number_of(hit: Hit) -> int:
    return int(Path(hit.path).stem)


def best(hits: list[Hit], asked: int) -> list[int]:
    """The numbers of the scenes that were found, without the one that was asked with."""
    return [number for number in map(number_of, hits) if number != asked][:BEST]


def by_things(index: Index, scenes: Scenes, there: bool) -> list[str]:
    """How often what is found has a thing like that which was pointed at; or has it `there`, in the
    same quadrant, which is asked for.
    """
    found, chance = {name: [] for name in ALIKE}, {name: [] for name in ALIKE}
    things = [scenes.scene(number).objects for number in range(SEARCHED)]
    for asked in range(ASKED):
        for thing in things[asked]:
            y, x = (place * scenes.size for place in thing.centre)
            hits = index.search(
                f"{asked}.png", at=(x, y), where=QUADRANTS[thing.quadrant] if there else None,
                count=BEST + 1,
            )  # fmt: skip
            for name, alike in ALIKE.items():
                has = np.array([
                    any(
                        alike(thing, other) and (not there or other.quadrant == thing.quadrant)
                        for other in others
                    )
                    for others in things
                ])  # fmt: skip
                found[name].append(has[best(hits, asked)].mean())
                chance[name].append(has.mean())
    return [f"{np.mean(found[name]):.2f} ({np.mean(chance[name]):.2f})" for name in ALIKE]


def by_pictures(index: Index, scenes: Scenes) -> str:
    """How many of their colours pictures share with those that are found for them."""
    colours = [
        {thing.colour for thing in scenes.scene(number).objects} for number in range(SEARCHED)
    ]

    def shared(one: int, other: int) -> float:
        return len(colours[one] & colours[other]) / len(colours[one] | colours[other])

    found, chance = [], []
    for asked in range(ASKED):
        hits = index.search(f"{asked}.png", count=BEST + 1)
        found += [shared(asked, other) for other in best(hits, asked)]
        chance += [shared(asked, other) for other in range(SEARCHED)]
    return f"{np.mean(found):.2f} ({np.mean(chance):.2f})"


def main(name: str = "stellar-scenes") -> None:
    scenes = open_embedded("scenes", "heldout", stellar.load(name).config, length=SEARCHED)
    with TemporaryDirectory() as folder:
        index = searched(name, scenes, Path(folder))
        rows = [
            ["--at a thing", *by_things(index, scenes, there=False)],
            ["--at a thing --where its quadrant", *by_things(index, scenes, there=True)],
        ]
        whole = by_pictures(index, scenes)
    print(header("What searches find"))
    print(
        f"{SEARCHED:,} held-out scenes, asked with the things of {ASKED}; in brackets all scenes\n"
    )
    print(table(("", *ALIKE), rows))
    print(f"\nA whole picture: {whole} of the colours are shared.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
