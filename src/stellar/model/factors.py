"""The factors of a batch of images: what (S), where (L), and what they were made from (cls, U)."""

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, SupportsIndex

from jaxtyping import Float
from torch import Tensor

from stellar.model.fewer_tokens import strongest

TENSORS = ("cls", "sparse", "spatial", "dense")


@dataclass(frozen=True, repr=False, eq=False)
class Factors:
    """A batch of factorized images; `Z = L S` is `lowrank` (arXiv 2602.01905, section 3).

    B images, P patches (row by row), K sparse tokens, width D. Without tokens K is 0 and Z is U.
    """

    cls: Float[Tensor, "B D"]
    """The global token."""
    sparse: Float[Tensor, "B K D"]
    """S, the semantic tokens: what is in the image."""
    spatial: Float[Tensor, "B P K"]
    """L, where each token is: for each patch, a distribution over the tokens (rows sum to 1)."""
    dense: Float[Tensor, "B P D"]
    """U, the patch features that L was computed from."""
    grid: tuple[int, int]
    """Height and width of the patch grid; P is their product."""
    preparation: str = ""
    """What was done to the pictures before they were encoded; sizes are width x height."""

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(getattr(self, name).shape)}" for name in TENSORS)
        return f"Factors({shapes}, grid {self.grid}, preparation {self.preparation!r})"

    def __len__(self) -> int:
        """B."""
        return len(self.cls)

    def __getitem__(self, some: SupportsIndex | slice | Tensor | list[int]) -> "Factors":
        """Some of the images, still as a batch: `factors[0]` is a batch of one. Raises IndexError
        for an image that there is none of.
        """
        if isinstance(some, Integral):
            place = int(some)
            if place not in range(-len(self), len(self)):
                raise IndexError(f"the batch has the images 0 to {len(self) - 1}, got {place}")
            some = slice(place, place + 1 or None)
        return replace(self, **{name: getattr(self, name)[some] for name in TENSORS})

    @property
    def lowrank(self) -> Float[Tensor, "B P D"]:
        """Z = L S, the patch features that S and L alone can express; U where there are none."""
        if self.sparse.shape[1] == 0:
            return self.dense
        return self.spatial.to(self.sparse.dtype) @ self.sparse

    def to(self, *where: Any, **options: Any) -> "Factors":
        """The same on another device or in another precision, by what `torch.Tensor.to` takes."""
        moved = {name: getattr(self, name).to(*where, **options) for name in TENSORS}
        return replace(self, **moved)

    def strongest(self, count: int) -> "Factors":
        """The same images in fewer tokens: the `count` that explain most of each, the largest
        first; L sums to 1 over them. Raises UserError unless there are so many.
        """
        sparse, spatial = strongest(self.sparse, self.spatial, count)
        return replace(self, sparse=sparse, spatial=spatial)

    @property
    def maps(self) -> Float[Tensor, "B K h w"]:
        """L as one picture for each token."""
        return self.spatial.transpose(1, 2).unflatten(2, self.grid)
