"""The MaskGIT-VQGAN: a frozen convolutional tokenizer between images and a grid of codes.

Parameter names are those of the published file (`maskgit-vqgan-imagenet-f16-256.bin`, hub
repository `fun-research/TiTok`), so it loads as it is. Its weights depend on one quirk: where a
block changes the number of channels, the 1x1 shortcut is applied to the block's own result, not
to its input.

Under bf16 autocast only the levels of high resolution, which are most of the work, are in bf16: so
few codes change (`benchmarks/tokenizer.py`: 0.6 of a hundred). With `all_in_bf16`, all of the
encoder is, and one to three codes in a hundred change. The nearest row is always found in fp32.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

CODED_AT_ONCE = 16
"""Images whose codes are found together: at 224 px, each needs 80 MB for that moment."""
FOLLOW_AUTOCAST = 2
"""Levels of the encoder that autocast may bring to bf16, from the finest."""


@dataclass(frozen=True)
class VQGANConfig:
    """Sizes of a MaskGIT-VQGAN; the defaults are those of the published file."""

    channels: int = 128
    """Channels at full resolution."""
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    """Channels of each level as a multiple; every level after the first halves the resolution."""
    num_blocks: int = 2
    """Residual blocks of a level."""
    code_dim: int = 256
    """Width of a codebook row."""
    num_codes: int = 1024
    """Rows of the codebook."""

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "VQGANConfig":
        """Read the sizes off a state dict. Raises KeyError when it is not a MaskGIT-VQGAN."""
        channels = state["encoder.conv_in.weight"].shape[0]
        levels = 1 + max(_numbers(r"encoder\.down\.(\d+)\.", state))
        widths = [
            state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels)
        ]
        num_codes, code_dim = state["quantize.embedding.weight"].shape
        return cls(
            channels=channels,
            multipliers=tuple(width // channels for width in widths),
            num_blocks=1 + max(_numbers(r"encoder\.down\.0\.block\.(\d+)\.", state)),
            code_dim=code_dim,
            num_codes=num_codes,
        )


def _numbers(pattern: str, state: Mapping[str, Tensor]) -> list[int]:
    found = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    if not found:
        raise KeyError(pattern)
    return found


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, plus the residual."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = _group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(out_channels, out_channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B E h w"]:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(h) if hasattr(self, "nin_shortcut") else x)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class Level(nn.Module):
    """The residual blocks of one resolution, and the convolution after an upsampling."""

    def __init__(
        self, in_channels: int, out_channels: int, num_blocks: int, upsample: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_blocks
        self.block = nn.ModuleList(ResidualBlock(*pair) for pair in pairwise(widths))
        if upsample:
            self.upsample_conv = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B E h2 w2"]:
        for block in self.block:
            x = block(x)
        if hasattr(self, "upsample_conv"):
            x = self.upsample_conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class VQEncoder(nn.Module):
    """Images to code vectors, 2^(levels - 1) times smaller."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        top = widths[-1]
        self.conv_in = nn.Conv2d(3, config.channels, 3, padding=1, bias=False)
        self.down = nn.ModuleList(
            Level(before, after, config.num_blocks, upsample=False)
            for before, after in zip([config.channels, *widths], widths, strict=False)
        )
        self.mid = nn.ModuleList(ResidualBlock(top, top) for _ in range(config.num_blocks))
        self.norm_out = _group_norm(top)
        self.conv_out = nn.Conv2d(top, config.code_dim, 1)
        # Under bf16 autocast: every level, and not the finest alone.
        self.all_in_bf16 = False

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B z h w"]:
        x = images.contiguous(memory_format=torch.channels_last)
        x = self._exactly(self.conv_in, x)
        for index, level in enumerate(self.down):
            x = x if index == 0 else F.avg_pool2d(x, 2)
            x = level(x) if index < FOLLOW_AUTOCAST else self._exactly(level, x)
        for block in self.mid:
            x = self._exactly(block, x)
        return self._exactly(self.conv_out, F.silu(self._exactly(self.norm_out, x)))

    def _exactly(self, layer: nn.Module, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B E h2 w2"]:
        """A layer in fp32, unless all of the encoder follows autocast."""
        if self.all_in_bf16:
            return layer(x)
        with torch.autocast(x.device.type, enabled=False):
            return layer(x.float())


class VQDecoder(nn.Module):
    """Code vectors to images."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        top = widths[-1]
        self.conv_in = nn.Conv2d(config.code_dim, top, 3, padding=1)
        self.mid = nn.ModuleList(ResidualBlock(top, top) for _ in range(config.num_blocks))
        self.up = nn.ModuleList(
            Level(before, after, config.num_blocks, upsample=index > 0)
            for index, (before, after) in enumerate(zip([*widths[1:], top], widths, strict=True))
        )
        self.norm_out = _group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, codes: Float[Tensor, "B z h w"]) -> Float[Tensor, "B 3 H W"]:
        x = self.conv_in(codes)
        for block in self.mid:
            x = block(x)
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Quantizer(nn.Module):
    """The codebook."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.num_codes, config.code_dim)

    def nearest(self, vectors: Float[Tensor, "N z"]) -> Int[Tensor, "N"]:
        """Row of the codebook at the smallest Euclidean distance: argmin |e|^2 - 2 <e, v>."""
        book = self.embedding.weight
        return (book.square().sum(dim=1) - 2 * vectors @ book.T).argmin(dim=1)


class VQGAN(nn.Module):
    """The frozen tokenizer: `codes` from images, `decode` from codes. Images are RGB in [0, 1]."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.encoder = VQEncoder(config)
        self.decoder = VQDecoder(config)
        self.quantize = Quantizer(config)
        self.factor = 2 ** (len(config.multipliers) - 1)
        self.num_codes = config.num_codes
        self.requires_grad_(False)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "VQGAN":
        """Build and load from the published file's tensors. Raises KeyError or RuntimeError on a
        wrong file.
        """
        with torch.device("meta"):
            model = cls(VQGANConfig.from_state(state))
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
        return model.eval()

    @torch.no_grad()
    def codes(self, images: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B P"]:
        """The code of each cell of `factor` x `factor` pixels, row by row."""
        return torch.cat([self._codes(some) for some in images.split(CODED_AT_ONCE)])

    def _codes(self, images: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B P"]:
        vectors = self.encoder(images).float().permute(0, 2, 3, 1)
        with torch.autocast(images.device.type, enabled=False):
            return self.quantize.nearest(vectors.flatten(0, 2)).unflatten(0, (len(images), -1))

    def decode(self, codes: Int[Tensor, "B P"], grid: tuple[int, int]) -> Float[Tensor, "B 3 H W"]:
        """Images in [0, 1] from codes on a grid of `grid` cells."""
        vectors = self.quantize.embedding(codes).unflatten(1, grid).permute(0, 3, 1, 2)
        return self.decoder(vectors).float().clamp(0, 1)
