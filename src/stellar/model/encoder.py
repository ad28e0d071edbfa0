"""A vision transformer with K learned sparse tokens beside the patches.

Tokens enter as [cls, sparse, registers, patches]; only cls and patches carry a position, or only
patches where positions are rotary. Attention does not depend on the order, so this equals the
published [cls, patches, sparse] while the tokens that a loss reads stay in front. Registers are
there only in models that start from a backbone which has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor, nn

from stellar.config import ModelConfig
from stellar.images import InputError, nearest_multiple
from stellar.model.positions import resize_positions, rotary_angles
from stellar.model.transformer import (
    BlockSize,
    init_weights,
    normal,
    run_blocks,
    run_blocks_packed,
    stack,
)

Images = Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]
"""C channels (RGB), in [0, 1] when floating point, in [0, 255] when uint8."""
Read = Literal["all", "tokens", "cls"]
"""What is wanted of the last block."""


@dataclass(frozen=True)
class Request:
    """Images of one size that are to be encoded."""

    images: Images
    keep: Int[Tensor, "B n"] | None = None
    """The patches that take part, for each image; None: all."""
    read: Read = "all"


@dataclass(frozen=True)
class Tokens:
    """The encoder's result after its final norm; parts that were not read have no rows."""

    cls: Float[Tensor, "B D"]
    sparse: Float[Tensor, "B K D"]
    dense: Float[Tensor, "B P D"]


class PatchEmbed(nn.Module):
    """A linear map of each patch, stored as the usual strided convolution; patches that are
    dropped cost nothing.
    """

    def __init__(self, in_chans: int, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size)

    def cut(self, images: Images, keep: Int[Tensor, "B n"] | None) -> Shaped[Tensor, "B P C p p"]:
        """The pixels of the patches that take part."""
        size = self.proj.kernel_size[0]
        patches = images.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
        if keep is None:
            return patches.flatten(1, 2)
        batch = torch.arange(len(images), device=keep.device).unsqueeze(1)
        return patches[batch, keep // patches.shape[2], keep % patches.shape[2]]

    def forward(self, patches: Float[Tensor, "B P C p p"]) -> Float[Tensor, "B P D"]:
        return F.linear(patches.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class Bottleneck(nn.Module):
    """Each patch squeezed to a few numbers and back, where a model without tokens has one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.squeeze = nn.Linear(config.embed_dim, config.bottleneck)
        self.expand = nn.Linear(config.bottleneck, config.embed_dim)
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)

    def forward(self, dense: Float[Tensor, "B P D"]) -> Float[Tensor, "B P D"]:
        return self.norm(self.expand(self.squeeze(dense)))


class Encoder(nn.Module):
    """Images to cls, sparse tokens and patch features."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, side = config.embed_dim, config.image_size // config.patch_size
        self.patch_size, self.num_registers = config.patch_size, config.num_registers
        self.patch_embed = PatchEmbed(config.in_chans, config.patch_size, dim)
        self.cls_token = nn.Parameter(normal(1, 1, dim, std=0.02))
        self.rope_theta, self.head_dim = config.rope_theta, dim // config.num_heads
        if config.rope_theta is None:
            self.pos_embed = nn.Parameter(normal(1, 1 + side * side, dim, std=0.02))
        self.sparse_tokens = nn.Parameter(normal(config.num_encoded_tokens, dim, std=dim**-0.5))
        self.bottleneck = Bottleneck(config) if config.bottleneck else None
        if config.num_registers:
            self.register_tokens = nn.Parameter(normal(1, config.num_registers, dim, std=0.02))
        size = BlockSize(
            dim,
            config.num_heads,
            config.hidden_dim,
            config.norm_eps,
            config.layer_scale,
            config.gated_mlp,
        )
        self.blocks = stack(config.depth, size)
        self.norm = nn.LayerNorm(dim, eps=config.norm_eps)
        # On the CPU even while a model is built on the meta device: no file holds them.
        for name, value in (("mean", config.image_mean), ("std", config.image_std)):
            constant = torch.tensor(value, device="cpu")[:, None, None]
            self.register_buffer(name, constant, persistent=False)
        init_weights(self)

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Height and width in patches. Raises InputError when the patch does not divide the
        image.
        """
        height, width = images.shape[-2:]
        size = self.patch_size
        if height % size or width % size or not height * width:
            raise InputError(
                f"height and width must be multiples of the patch size {size}, "
                f"got {height} x {width}; "
                f"resize or crop to {nearest_multiple(height, size)} x "
                f"{nearest_multiple(width, size)}, "
                "or let encode(..., fit='crop') do it"
            )
        return height // size, width // size

    def forward(
        self,
        images: Images,
        keep: Int[Tensor, "B n"] | None = None,
        read: Read = "all",
    ) -> Tokens:
        """`keep`: the patches that take part, for each image; `read`: what is wanted of the last
        block.

        Raises InputError for sizes that the patch does not divide.
        """
        x, turns = self.embed(images, keep), self._turns(images, keep)
        return self._tokens(run_blocks(self.blocks, x, self._num_read(read), turns))

    def encode_packed(self, requests: Sequence[Request]) -> list[Tokens]:
        """Several groups of images in one pass: each gets what `forward` would give it.

        Raises InputError for sizes that the patch does not divide.
        """
        embedded = [self.embed(request.images, request.keep) for request in requests]
        reads = [self._num_read(request.read) for request in requests]
        turns = [self._turns(request.images, request.keep) for request in requests]
        return [self._tokens(x) for x in run_blocks_packed(self.blocks, embedded, reads, turns)]

    def _num_read(self, read: Read) -> int | None:
        """Tokens that the last block answers for; None: all."""
        if read == "all":
            return None
        return 1 + len(self.sparse_tokens) if read == "tokens" else 1

    def _tokens(self, x: Float[Tensor, "B M D"]) -> Tokens:
        """What the last block gave, after the final norm, taken apart."""
        x, num_sparse = self.norm(x), len(self.sparse_tokens)
        sparse, dense = x[:, 1 : 1 + num_sparse], x[:, 1 + num_sparse + self.num_registers :]
        if self.bottleneck is not None:
            dense = self.bottleneck(dense)
        return Tokens(x[:, 0], sparse, dense)

    def embed(self, images: Images, keep: Int[Tensor, "B n"] | None) -> Float[Tensor, "B N D"]:
        """All tokens, as they enter the first block."""
        grid = self.grid(images)
        patches = self.patch_embed(self._normalise(self.patch_embed.cut(images, keep)))
        cls = self.cls_token
        if self.rope_theta is None:
            cls_position, positions = self._positions(grid)
            patches = patches + (positions if keep is None else F.embedding(keep, positions[0]))
            cls = cls + cls_position
        batch = images.shape[0]
        sparse = self.sparse_tokens.expand(batch, -1, -1)
        registers = [self.register_tokens.expand(batch, -1, -1)] if self.num_registers else []
        return torch.cat([cls.expand(batch, -1, -1), sparse, *registers, patches], dim=1)

    def _normalise(self, patches: Shaped[Tensor, "B P C p p"]) -> Float[Tensor, "B P C p p"]:
        mean, std = self.mean, self.std
        if patches.dtype == torch.uint8:
            mean, std = mean * 255, std * 255
        return (patches - mean) / std

    def _positions(self, grid: tuple[int, int]) -> tuple[Tensor, Float[Tensor, "1 P D"]]:
        """The position of cls, and those of the patches."""
        cls, table = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        return cls, resize_positions(table, grid, antialias=self.num_registers > 0)

    def _turns(
        self, images: Images, keep: Int[Tensor, "B n"] | None
    ) -> Float[Tensor, "2 _B N d"] | None:
        """Rotary positions of all tokens, once for all blocks; those without a place stay as they
        are.
        """
        if self.rope_theta is None:
            return None
        angles = rotary_angles(self.grid(images), self.head_dim, self.rope_theta, images.device)
        angles = angles.unsqueeze(0) if keep is None else F.embedding(keep, angles)
        angles = F.pad(angles, (0, 0, 1 + len(self.sparse_tokens) + self.num_registers, 0))
        return torch.stack([angles.cos(), angles.sin()])
