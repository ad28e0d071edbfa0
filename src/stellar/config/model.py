"""The network: encoder, factorization and decoder."""

from dataclasses import dataclass, field
from typing import Literal

from stellar.config.checks import check_at_least, check_choices, check_numbers, require, warn
from stellar.config.field_types import settle_types

DEEPEST = 1000
"""Blocks of the deepest network that anyone would ask for."""
Fit = Literal["crop", "squash", "resize", "pad", "exact"]
"""How a picture comes to a size that the patch divides: its largest centred square at image_size;
the whole picture squashed to image_size; each side to the nearest multiple of the patch; edges
repeated up to a multiple; or refused.
"""


@dataclass(frozen=True)
class DecoderConfig:
    """The small transformer that draws the image again from `Z = L S`."""

    target: Literal["pixels", "codes"] = "codes"
    """What is reconstructed: RGB values, or the codes of a frozen MaskGIT-VQGAN (the paper's
    choice).
    """
    tokenizer: str = ""
    """File of the frozen MaskGIT-VQGAN, for codes; empty: the published one
    (maskgit-vqgan-imagenet-f16-256.bin), which is downloaded once.
    """
    num_codes: int = 1024
    """Size of the tokenizer's codebook."""
    embed_dim: int = 512
    """Width of the decoder's tokens."""
    depth: int = 6
    """Number of transformer blocks."""
    num_heads: int = 8
    """Attention heads."""
    mlp_ratio: float = 4.0
    """Width of the hidden layer of an MLP, as a multiple of `embed_dim`."""

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden layer of an MLP."""
        return _hidden_dim(self)

    def __post_init__(self) -> None:
        settle_types(self, "model.decoder")
        check_choices(self, "model.decoder")
        check_numbers(self, "model.decoder")
        check_at_least(self, "model.decoder", 1, "num_codes", "embed_dim", "num_heads")
        check_at_least(self, "model.decoder", 0, "depth")
        _check_blocks(self, "model.decoder")
        require(
            self.embed_dim % self.num_heads == 0 and self.embed_dim % 2 == 0,
            f"model.decoder.embed_dim must be even and divisible by "
            f"num_heads = {self.num_heads}, got {self.embed_dim}",
        )
        if self.tokenizer and self.target == "pixels":
            warn("model.decoder.tokenizer has no effect when the target is pixels")


def _hidden_dim(config: "DecoderConfig | ModelConfig") -> int:
    # A ratio that was itself a quotient of two widths may be rounded to a little less.
    return int(config.embed_dim * config.mlp_ratio + 1e-6)


def _check_blocks(config: "DecoderConfig | ModelConfig", section: str) -> None:
    """Raises ConfigError for more blocks than make sense, and for an MLP without a neuron."""
    require(
        config.depth <= DEEPEST and config.hidden_dim >= 1,
        f"{section}.depth must be up to {DEEPEST}, and mlp_ratio x embed_dim at least 1, "
        f"got {config.depth} and {config.mlp_ratio} x {config.embed_dim}",
    )


def _check_rotary(config: "ModelConfig") -> None:
    """Raises ConfigError for rotary positions that cannot turn the heads."""
    require(
        config.rope_theta is None or config.rope_theta > 0,
        f"model.rope_theta must be positive or None, got {config.rope_theta}",
    )
    require(
        config.rope_theta is None or config.embed_dim // config.num_heads % 4 == 0,
        f"model.rope_theta = {config.rope_theta} turns heads whose width is a multiple of 4, got "
        f"embed_dim / num_heads = {config.embed_dim} / {config.num_heads}",
    )


@dataclass(frozen=True)
class ModelConfig:
    """Encoder, factorization and decoder."""

    image_size: int = 224
    """Side, in pixels, of the images that the position table is made for. Other sizes work: the
    table is resized, and rotary positions need none.
    """
    patch_size: int = 16
    """Side of a patch, in pixels."""
    embed_dim: int = 768
    """Width D of every token."""
    depth: int = 12
    """Number of transformer blocks of the encoder."""
    num_heads: int = 12
    """Attention heads of the encoder."""
    mlp_ratio: float = 4.0
    """Width of the hidden layer of an MLP, as a multiple of `embed_dim`."""
    gated_mlp: bool = False
    """SwiGLU: MLPs whose hidden layer is a product, as in DINOv2-giant and the larger DINOv3."""
    in_chans: int = 3
    """Channels of the images: 1 for grey, 3 for RGB, others for .npy files and TIFF."""
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each channel, of images in [0, 1], which the model subtracts; ImageNet's."""
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each channel, which the model divides by."""
    norm_eps: float = 1e-12
    """Epsilon of the encoder's LayerNorms."""
    layer_scale: bool = False
    """A learned factor for each channel of each branch, as in DINOv2 and DINOv3."""
    num_registers: int = 0
    """Tokens that are neither read nor explained, as in DINOv2 with registers and in DINOv3."""
    rope_theta: float | None = None
    """Base of rotary positions, in place of a position table: their periods grow from 1 towards it;
    100 in DINOv3. None: the table.
    """
    num_sparse_tokens: int = 16
    """Number K of semantic tokens: the rank of the factorization. 0: none, and Z is the patch
    features themselves, as in DINO and MAE.
    """
    slot_rounds: int = 0
    """Rounds of slot attention that make S and L of the patches, in place of tokens that go through
    the encoder with them: a control of `stellar compare`. 0: none.
    """
    bottleneck: int = 0
    """Numbers that each patch is squeezed to, and expanded from, in a model without tokens: the
    control of `stellar compare`, whose objective takes every patch for a token. 0: none.
    """
    spatial_temperature: float | None = 0.06
    """Temperature of the softmax over cosines that gives L; None: plain dot products divided by
    sqrt(D).
    """
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden layer of an MLP."""
        return _hidden_dim(self)

    @property
    def positions(self) -> str:
        """What tells the encoder where a patch is, in words."""
        if self.rope_theta is None:
            return "a learned table"
        return f"rotary, base {self.rope_theta:g}"

    @property
    def num_encoded_tokens(self) -> int:
        """Sparse tokens that go through the encoder: slots do not."""
        return 0 if self.slot_rounds else self.num_sparse_tokens

    def numbers_per_image(self) -> dict[str, int]:
        """How many numbers each part of an image's factors takes, at the model's own image size."""
        patches = (self.image_size // self.patch_size) ** 2
        sparse, spatial = self.num_sparse_tokens * self.embed_dim, patches * self.num_sparse_tokens
        return {
            "cls": self.embed_dim,
            "S": sparse,
            "L": spatial,
            "S and L": sparse + spatial,
            "bottleneck": patches * self.bottleneck,
            "dense": 0 if self.bottleneck else patches * self.embed_dim,
        }

    def __post_init__(self) -> None:
        settle_types(self, "model")
        check_numbers(self, "model")
        sizes = ("image_size", "patch_size", "embed_dim", "depth", "num_heads", "in_chans")
        check_at_least(self, "model", 1, *sizes)
        check_at_least(self, "model", 0, "norm_eps")
        _check_blocks(self, "model")
        require(
            self.image_size % self.patch_size == 0,
            f"model.image_size must be a multiple of model.patch_size = {self.patch_size}, "
            f"got {self.image_size}",
        )
        require(
            self.embed_dim % self.num_heads == 0,
            f"model.embed_dim must be divisible by model.num_heads = {self.num_heads}, "
            f"got {self.embed_dim}",
        )
        _check_rotary(self)
        require(
            len(self.image_mean) == len(self.image_std) == self.in_chans,
            "model.image_mean and model.image_std must have a number for each of model.in_chans = "
            f"{self.in_chans} channels, got {len(self.image_mean)} and {len(self.image_std)}; "
            "mean and standard deviation of yours, or 0.5 and 0.25 for each, will do",
        )
        require(min(self.image_std) > 0, f"model.image_std must be positive, got {self.image_std}")
        require(
            self.in_chans == 3 or self.decoder.target == "pixels",
            f"model.decoder.target = codes needs model.in_chans = 3, got {self.in_chans}; "
            "set model.decoder.target to pixels",
        )
        require(
            self.num_registers >= 0,
            f"model.num_registers must not be negative, got {self.num_registers}",
        )
        require(
            self.num_sparse_tokens >= 0,
            f"model.num_sparse_tokens must not be negative, got {self.num_sparse_tokens}",
        )
        require(
            self.bottleneck >= 0, f"model.bottleneck must not be negative, got {self.bottleneck}"
        )
        require(
            not (self.bottleneck and self.num_sparse_tokens),
            f"model.bottleneck = {self.bottleneck} goes with model.num_sparse_tokens = 0, "
            f"got {self.num_sparse_tokens}",
        )
        require(
            self.slot_rounds >= 0, f"model.slot_rounds must not be negative, got {self.slot_rounds}"
        )
        require(
            not self.slot_rounds or self.num_sparse_tokens > 0,
            f"model.slot_rounds = {self.slot_rounds} needs slots; set model.num_sparse_tokens",
        )
        require(
            self.spatial_temperature is None or self.spatial_temperature > 0,
            f"model.spatial_temperature must be positive or None, got {self.spatial_temperature}",
        )
