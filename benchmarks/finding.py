"""What searches find: scenes, whose things are known, are embedded, indexed, and searched with
things that are pointed at, and as whole pictures.

    python benchmarks/finding.py
    python benchmarks/finding.py runs/scenes

Among the ten best, without the picture that is asked with: the share of pictures that have a thing
of the same colour, the same kind, and one of both. With whole pictures: of the colours that either
has, how many both have, and of the kinds; beside one vector for each picture, by cosine.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import stellar
from stellar.data import open_embedded
from stellar.data.scenes import SceneObject, Scenes
from stellar.images import to_pillow
from stellar.searching import Hit, Index
from stellar.searching.vectors import unit
from table import header, table

SEARCHED, ASKED, BEST = 1000, 300, 10
QUADRANTS = ("upper-left", "upper-right", "lower-left", "lower-right")
ALIKE: dict[str, Callable[[SceneObject, SceneObject], bool]] = {
    "of its colour": lambda one, other: one.colour == other.colour,
    "of its kind": lambda one, other: one.kind == other.kind,
    "of both": lambda one, other: (one.colour, one.kind) == (other.colour, other.kind),
}
Found = Callable[[int], list[int]]
"""The scenes that are found by one, by their numbers; it may be among them."""


def searched(name: str, scenes: Scenes, folder: Path) -> Index:
    """The index of the scenes' pictures, beside their embedding."""
    (pictures := folder / "scenes").mkdir()
    for number in range(SEARCHED):
        to_pillow(scenes.read(number)).save(pictures / f"{number:03d}.png")
    stellar.embed(stellar.load(name), pictures, folder / "scenes.parquet")
    stellar.build_index(folder / "scenes.parquet", folder / "index", pictures=pictures)
    return stellar.open_index(folder / "index")


def numbers(hits: list[Hit]) -> list[int]:
    return [int(Path(hit.path).stem) for hit in hits]


def others(found: list[int], asked: int) -> list[int]:
    """Without the scene that was asked with."""
    return [number for number in found if number != asked][:BEST]


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
                f"{asked:03d}.png", at=(x, y), where=QUADRANTS[thing.quadrant] if there else None,
                count=BEST + 1,
            )  # fmt: skip
            for name, alike in ALIKE.items():
                has = np.array([
                    any(
                        alike(thing, other) and (not there or other.quadrant == thing.quadrant)
                        for other in some
                    )
                    for some in things
                ])  # fmt: skip
                found[name].append(has[others(numbers(hits), asked)].mean())
                chance[name].append(has.mean())
    return [f"{np.mean(found[name]):.2f} ({np.mean(chance[name]):.2f})" for name in ALIKE]


def ways(index: Index, scenes: Scenes, embedding: Path) -> dict[str, Found]:
    """Of finding pictures by a whole one."""
    rows = stellar.read_embeddings(embedding)
    colours = np.stack([
        scenes.read(number).float().mean(dim=(1, 2)).numpy() for number in range(SEARCHED)
    ])  # fmt: skip
    vectors = {
        "cls": rows.cls,
        "mean of S": rows.tokens.astype(np.float32).mean(axis=1),
        "mean colour": colours - colours.mean(axis=0),
    }

    def by_tokens(asked: int) -> list[int]:
        return numbers(index.search(f"{asked:03d}.png", count=BEST + 1))

    def nearest(vectors: np.ndarray) -> Found:
        directions = unit(vectors)
        return lambda asked: (-directions @ directions[asked]).argsort()[: BEST + 1].tolist()

    return {
        "S against S, the search": by_tokens,
        **{name: nearest(each) for name, each in vectors.items()},
        "the next ones": lambda asked: [(asked + n) % SEARCHED for n in range(1, BEST + 1)],
    }


def by_pictures(found: Found, scenes: Scenes) -> list[str]:
    """How many of their colours, and of their kinds, pictures share with those found by them."""
    has = [
        [
            {getattr(thing, name) for thing in scenes.scene(number).objects}
            for number in range(SEARCHED)
        ]
        for name in ("colour", "kind")
    ]
    shared = [
        [len(of[asked] & of[other]) / len(of[asked] | of[other]) for of in has]
        for asked in range(ASKED)
        for other in others(found(asked), asked)
    ]
    return [f"{value:.2f}" for value in np.mean(shared, axis=0)]


def main(name: str = "stellar-scenes") -> None:
    scenes = open_embedded("scenes", "heldout", stellar.load(name).config, length=SEARCHED)
    with TemporaryDirectory() as folder:
        index = searched(name, scenes, Path(folder))
        things = [
            ["--at a thing", *by_things(index, scenes, there=False)],
            ["--at a thing --where its quadrant", *by_things(index, scenes, there=True)],
        ]
        pictures = [
            [how, *by_pictures(found, scenes)]
            for how, found in ways(index, scenes, Path(folder) / "scenes.parquet").items()
        ]
    print(header("What searches find"))
    print(
        f"{SEARCHED:,} held-out scenes, asked with the things of {ASKED}; in brackets all scenes\n"
    )
    print(table(("", *ALIKE), things))
    print(f"\nAsked with {ASKED} whole pictures: what they share\n")
    print(table(("by", "of their colours", "of their kinds"), pictures))


if __name__ == "__main__":
    main(*sys.argv[1:2])
