"""What is in all pictures, as the page shows it: concepts with examples that may be shown, and the
concept of each token of one picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from stellar.exploring.vectors import token_vectors
from stellar.model import Factors
from stellar.model.fewer_tokens import by_mass
from stellar.searching import Hit, Index
from stellar.searching.clustering import nearest_centre
from stellar.searching.concepts import named
from stellar.searching.scoring import answers

NUM_EXAMPLES = 6
"""Pictures that are shown of each."""
ASKED = 4
"""Times as many examples are asked for: some may not be shown."""


class Overview:
    """The concepts that an index keeps, or `count` groups; examples are those that `may_show` lets
    through.
    """

    def __init__(self, index: Index, count: int | None, may_show: Callable[[Hit], bool]) -> None:
        self._contents = index.contents
        found = index.concepts(count, ASKED * NUM_EXAMPLES)
        self.concepts = [
            replace(each, examples=tuple(filter(may_show, each.examples))[:NUM_EXAMPLES])
            for each in found.concepts
        ]
        self.centres = found.centres

    def call(self, names: Sequence[str]) -> None:
        """From now on they have these names."""
        self.concepts = list(named(self.concepts, names))

    def of_each_token(self, factors: Factors) -> list[int | None]:
        """The concept that each token of a picture is nearest to; None for one that the index does
        not count: it explains too little, or is none of the strongest that are kept.
        """
        concepts: list[int | None] = [None] * factors.sparse.shape[1]
        kept = list(range(len(concepts)))
        if self._contents.keeps_strongest:
            kept = by_mass(factors.spatial)[0].tolist()[: self._contents.num_tokens]
            factors = factors.strongest(len(kept))
        counted = answers(factors.spatial.mean(dim=1).float().cpu().numpy())[0]
        centres, tokens = torch.from_numpy(self.centres), torch.from_numpy(token_vectors(factors))
        numbers = nearest_centre(tokens, centres)[0].tolist()
        for token, number, counts in zip(kept, numbers, counted, strict=True):
            concepts[token] = number if counts else None
        return concepts
