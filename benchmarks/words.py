"""Words that find things: a map from a model's tokens, by default the shipped one's, to a tower
whose vectors are a linear map of colour, so that what has to be found is known. No real tower, and
no captions.

    python benchmarks/words.py
    python benchmarks/words.py runs/scenes

Of the ten best scenes for each colour, how many have a thing of it: anywhere, and in the left half.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import stellar
from stellar.aligning import align
from stellar.data import open_embedded
from stellar.data.scenes.palette import COLOURS as NAMES
from stellar.searching.places import PLACES
from stellar.searching.scoring import Query, score
from table import header, table

NUM_LEARNED, NUM_SEARCHED, BEST = 300, 300, 10
COLOURS = {
    "red": (0.85, 0.2, 0.2), "orange": (0.95, 0.55, 0.15), "yellow": (0.95, 0.8, 0.2),
    "green": (0.3, 0.65, 0.25), "blue": (0.2, 0.45, 0.8), "purple": (0.5, 0.3, 0.7),
    "pink": (0.95, 0.5, 0.7), "paper": (0.97, 0.97, 0.95),
}  # fmt: skip


class ColourTower:
    """Says of a picture what colour it has, and of a word what colour it means."""

    name = "colours"

    def __init__(self, width: int = 16) -> None:
        generator = torch.Generator().manual_seed(0)
        self.map = torch.linalg.qr(torch.randn(width, 3, generator=generator)).Q

    def pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """By the mean of what is not grey: the fill says nothing."""
        mean = torch.stack([(each - self.fill()[:, None, None]).mean((1, 2)) for each in pictures])
        return F.normalize(mean @ self.map.T, dim=1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        meant = torch.tensor([COLOURS[text] for text in texts]) - self.fill()
        return F.normalize(meant @ self.map.T, dim=1)

    def fill(self) -> Tensor:
        return torch.full((3,), 0.5)


def main(name: str = "stellar-scenes") -> None:
    model, tower = stellar.load(name), ColourTower()
    learned = open_embedded("scenes", "tuning", model.config)
    found = align(model, tower, learned, count=NUM_LEARNED)
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SEARCHED)
    with torch.inference_mode():
        factors = [model.encode(scenes.read(number)) for number in range(NUM_SEARCHED)]
    sparse = np.concatenate([each.sparse.numpy() for each in factors])
    maps = np.concatenate([each.maps.numpy() for each in factors])
    things = [scenes.scene(number).objects for number in range(NUM_SEARCHED)]
    rows = []
    for colour in sorted(COLOURS.keys() & set(NAMES)):
        row = [colour]
        for box, furthest in ((None, 1.0), (PLACES["left"], 0.5)):
            has = np.array([
                any(NAMES[item.colour] == colour and item.centre[1] < furthest for item in some)
                for some in things
            ])  # fmt: skip
            query = Query(tower.texts([colour]).numpy(), sparse[0, :0], box, found.words)
            scores = score(query, np.arange(NUM_SEARCHED), sparse, maps, maps.mean(axis=(2, 3)))
            best = scores.total.argsort()[::-1][:BEST]
            row += [f"{has.mean():.0%}", f"{has[best].sum()}"]
        rows.append(row)
    print(header("Words that find things, with a tower of colours"))
    print(
        f"{found.num_examples} examples; cosine {found.cosine:.3f}, its mean {found.baseline:.3f}\n"
    )
    columns = ("", "scenes that have it", "of the ten best", "at the left", "of the ten best there")
    print(table(columns, rows))


if __name__ == "__main__":
    main(*sys.argv[1:2])
