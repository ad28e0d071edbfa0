"""What is exported: two graphs, with batch, height and width left open.

encode: images (B C H W) in [0, 1] -> cls, sparse, spatial, dense; mean and std are inside.
reconstruct: sparse, spatial, grid -> images (B C H W) in [0, 1].
"""

from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from stellar.model import Stellar

Inputs = dict[str, Tensor]
Names = dict[str, dict[int, str]]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Graph:
    """A module, what goes in and comes out of it by name, and what it is checked on."""

    name: str
    module: nn.Module
    inputs: Names
    """Names of the inputs, each with names for its open dimensions."""
    outputs: Names
    open_dims: dict[str, dict[int, Any]]
    """What torch.export must know of the inputs' open dimensions: their factors and smallest
    values.
    """
    checks: list[Inputs]
    """Inputs that a file is tried on; the first is the example that is traced."""

    def trace(self) -> ExportedProgram:
        """The module as torch.export sees it."""
        return torch.export.export(
            self.module, (), self.checks[0], dynamic_shapes=self.open_dims, strict=False
        )


class Encode(nn.Module):
    """Images to their factors."""

    def __init__(self, model: Stellar) -> None:
        super().__init__()
        self.encoder, self.factorization = model.encoder, model.factorization

    def forward(
        self, images: Float[Tensor, "B C H W"]
    ) -> tuple[
        Float[Tensor, "B D"], Float[Tensor, "B K D"], Float[Tensor, "B P K"], Float[Tensor, "B P D"]
    ]:
        tokens = self.encoder(images)
        return tokens.cls, *self.factorization(tokens.dense, tokens.sparse), tokens.dense


class Reconstruct(nn.Module):
    """S, L and the height and width of the patch grid to images."""

    def __init__(self, model: Stellar) -> None:
        super().__init__()
        self.model = _only(model, "decoder", "tokenizer")
        if model.tokenizer is not None:
            self.model.tokenizer = _only(model.tokenizer, "decoder", "quantize")

    def forward(
        self,
        sparse: Float[Tensor, "B K D"],
        spatial: Float[Tensor, "B P K"],
        grid: Int[Tensor, "2"],
    ) -> tuple[Float[Tensor, "B C H W"]]:
        height, width = grid.tolist()
        torch._check(height > 1)
        torch._check(width > 1)
        torch._check(height * width == spatial.shape[1])
        return (self.model.reconstruct(sparse=sparse, spatial=spatial, grid=(height, width)),)


def graphs(model: Stellar) -> list[Graph]:
    """Those of everything that the model can do: `reconstruct` needs tokens, and a head for pixels
    or the tokenizer.
    """
    config, patch = model.config, model.config.patch_size
    side = max(2, config.image_size // patch)
    grids = [(3, side + 1, side + 2), (1, side, side), (2, side, side), (5, 2, 3)]
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.rand(batch, config.in_chans, height * patch, width * patch, generator=generator)
        for batch, height, width in grids
    ]
    encode = Encode(model)
    batch, rows, columns = Dim("batch"), Dim("rows", min=2), Dim("columns", min=2)
    found = [
        Graph(
            "encode",
            encode,
            inputs={"images": {0: "batch", 2: "height", 3: "width"}},
            outputs={"cls": {}, "sparse": {}, "spatial": {1: "patches"}, "dense": {1: "patches"}},
            open_dims={"images": {0: batch, 2: patch * rows, 3: patch * columns}},
            checks=[{"images": image} for image in images],
        )
    ]
    if model.can_draw and config.num_sparse_tokens:
        factors = [encode(image) for image in images]
        patches = Dim("patches", min=4)
        reconstruct = Graph(
            "reconstruct",
            Reconstruct(model),
            inputs={"sparse": {0: "batch"}, "spatial": {1: "patches"}, "grid": {}},
            outputs={"images": {2: "height", 3: "width"}},
            open_dims={"sparse": {0: batch}, "spatial": {0: batch, 1: patches}, "grid": {}},
            checks=[
                {"sparse": sparse, "spatial": spatial, "grid": torch.tensor(grid)}
                for (_, sparse, spatial, _), (_, *grid) in zip(factors, grids, strict=True)
            ],
        )
        found.append(reconstruct)
    return found


def _only(module: Module, *parts: str) -> Module:
    """The same module, sharing its weights, with these of its parts alone; torch.export would
    store the others too.
    """
    lighter = copy(module)
    lighter._modules = {name: part for name, part in module._modules.items() if name in parts}
    return lighter
