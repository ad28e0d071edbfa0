"""Everything that can be chosen about a run, as frozen dataclasses with one docstring a field.

The command line is generated from these classes, a run writes them into its own folder as
`run.toml`, and a bad value is refused here, at construction. Defaults are the paper's main recipe
for ViT-B/16 (arXiv 2602.01905).
"""

import difflib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stellar.errors import UserError


class ConfigError(UserError):
    """A setting that cannot work; the message names it, what was expected and what came."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` when a known word is near, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _check_choices(config: Any, section: str) -> None:
    """Fields typed as a Literal hold one of its values."""
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            choices = get_args(kind)
            raise ConfigError(
                f"{section}.{name} must be one of {', '.join(choices)}, "
                f"got {value!r}{nearest(str(value), choices)}"
            )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class DecoderConfig:
    """The small transformer that draws the image again from `Z = L S`."""

    target: Literal["pixels", "codes"] = "codes"
    """What is reconstructed: RGB values, or the codes of a frozen MaskGIT-VQGAN (the paper's
    choice).
    """
    tokenizer: str = ""
    """File of the frozen MaskGIT-VQGAN (maskgit-vqgan-imagenet-f16-256.bin); needed when the
    target is codes.
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

    def __post_init__(self) -> None:
        _check_choices(self, "model.decoder")
        _require(
            self.embed_dim % self.num_heads == 0 and self.embed_dim % 2 == 0,
            f"model.decoder.embed_dim must be even and divisible by "
            f"num_heads = {self.num_heads}, got {self.embed_dim}",
        )
        if self.tokenizer and self.target == "pixels":
            warnings.warn(
                "model.decoder.tokenizer has no effect when the target is pixels", stacklevel=3
            )


@dataclass(frozen=True)
class ModelConfig:
    """Encoder, factorization and decoder."""

    image_size: int = 224
    """Side, in pixels, of the images that the position table is made for. Other sizes work: the
    table is resized.
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
    in_chans: int = 3
    """Channels of the images."""
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each channel, of images in [0, 1], which the model subtracts; ImageNet's."""
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each channel, which the model divides by."""
    norm_eps: float = 1e-12
    """Epsilon of the encoder's LayerNorms."""
    layer_scale: bool = False
    """A learned factor for each channel of each branch, as in DINOv2."""
    num_registers: int = 0
    """Tokens that are neither read nor explained, as in DINOv2 with registers."""
    num_sparse_tokens: int = 16
    """Number K of semantic tokens: the rank of the factorization. Only a backbone has none."""
    spatial_temperature: float | None = 0.06
    """Temperature of the softmax over cosines that gives L; None: plain dot products divided by
    sqrt(D).
    """
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        _require(
            self.image_size % self.patch_size == 0,
            f"model.image_size must be a multiple of model.patch_size = {self.patch_size}, "
            f"got {self.image_size}",
        )
        _require(
            self.embed_dim % self.num_heads == 0,
            f"model.embed_dim must be divisible by model.num_heads = {self.num_heads}, "
            f"got {self.embed_dim}",
        )
        for name in ("image_mean", "image_std"):
            _require(
                len(getattr(self, name)) == self.in_chans,
                f"model.{name} must have a number for each of model.in_chans = {self.in_chans} "
                f"channels, got {len(getattr(self, name))}",
            )
        _require(min(self.image_std) > 0, f"model.image_std must be positive, got {self.image_std}")
        _require(
            self.in_chans == 3 or self.decoder.target == "pixels",
            f"model.decoder.target = codes needs model.in_chans = 3, got {self.in_chans}; "
            "set model.decoder.target to pixels",
        )
        _require(
            self.num_registers >= 0,
            f"model.num_registers must not be negative, got {self.num_registers}",
        )
        _require(
            self.num_sparse_tokens >= 0,
            f"model.num_sparse_tokens must not be negative, got {self.num_sparse_tokens}",
        )
        _require(
            self.spatial_temperature is None or self.spatial_temperature > 0,
            f"model.spatial_temperature must be positive or None, got {self.spatial_temperature}",
        )


@dataclass(frozen=True)
class ViewConfig:
    """The views of an image that a training step sees: one full view, V masked views, W local
    crops.
    """

    num_masked: int = 8
    """Number V of masked views, each its own random crop at the model's image size."""
    num_local: int = 8
    """Number W of small crops, of which only the global token is used."""
    local_size: int = 96
    """Side of a local crop, in pixels."""
    global_scale: tuple[float, float] = (0.36, 1.0)
    """Share of the image's area that a full or masked view covers, smallest and largest."""
    local_scale: tuple[float, float] = (0.06, 0.36)
    """The same for a local crop."""
    flip_probability: float = 0.5
    """Chance of a horizontal flip, for each view."""
    antialias: bool = True
    """Antialias when a crop is made smaller. The published crops are not antialiased."""
    masking: Literal["random", "block", "focal"] = "focal"
    """Which patches a masked view keeps: uniform, around a rectangle, or around a Gaussian focus
    (the paper).
    """
    masking_ratio: float = 0.8
    """Share of the patches that a masked view drops."""
    masking_probability: float = 0.5
    """Chance that block or focal masking applies to a view; otherwise its patches are drawn
    uniformly.
    """
    jitter_probability: float = 0.8
    """Chance of a colour jitter, for each masked or local view."""
    brightness: float = 0.4
    """Largest relative change of brightness."""
    contrast: float = 0.4
    """Largest relative change of contrast."""
    saturation: float = 0.2
    """Largest relative change of saturation."""
    hue: float = 0.1
    """Largest rotation of the hue, in full turns."""
    grey_probability: float = 0.2
    """Chance that a masked or local view loses its colour."""
    blur_probability: float = 0.5
    """Chance of a Gaussian blur, for each masked or local view."""
    blur_kernel: int = 9
    """Side of the blur's kernel, in pixels; odd."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest standard deviation of the blur, in pixels."""

    def __post_init__(self) -> None:
        _check_choices(self, "views")
        for name in ("num_masked", "num_local"):
            _require(
                getattr(self, name) >= 0,
                f"views.{name} must not be negative, got {getattr(self, name)}",
            )
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            _require(
                0 < low <= high <= 1,
                f"views.{name} must be two shares 0 < low <= high <= 1, got {low}, {high}",
            )
        for name in ("flip", "masking", "jitter", "grey", "blur"):
            value = getattr(self, f"{name}_probability")
            _require(
                0 <= value <= 1, f"views.{name}_probability must be between 0 and 1, got {value}"
            )
        for name in ("brightness", "contrast", "saturation"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"views.{name} must be between 0 and 1, got {value}")
        _require(0 <= self.hue <= 0.5, f"views.hue must be between 0 and 0.5, got {self.hue}")
        _require(
            0 <= self.masking_ratio < 1,
            f"views.masking_ratio must be in [0, 1), got {self.masking_ratio}",
        )
        _require(
            self.blur_kernel % 2 == 1 and self.blur_kernel > 0,
            f"views.blur_kernel must be odd and positive, got {self.blur_kernel}",
        )
        _require(
            0 < self.blur_sigma[0] <= self.blur_sigma[1],
            f"views.blur_sigma must be two positive numbers, low first, got {self.blur_sigma}",
        )


@dataclass(frozen=True)
class ObjectiveConfig:
    """The seven terms of the objective, their targets and their weights. A weight of 0 removes a
    term.
    """

    reconstruction_weight: float | None = None
    """Reconstruction of the full view from Z. None: 10 for pixels, 0.05 for codes (the paper's
    values).
    """
    token_clustering_weight: float = 1.0
    """S of the full view against its own assignment."""
    cls_clustering_weight: float = 1.0
    """cls of the full view against its own assignment."""
    set_alignment_weight: float = 1.0
    """S of each masked view against the matched assignments of the full view."""
    cls_masked_weight: float = 1.0
    """cls of each masked view against the full view's assignment."""
    cls_local_weight: float = 1.0
    """cls of each local crop against the full view's assignment."""
    koleo_weight: float = 0.1
    """KoLeo, which spreads the tokens of an image: once on the full view, once on the masked
    views.
    """
    num_prototypes: int = 16384
    """Number C of prototypes of each head."""
    prototype_dim: int = 256
    """Width of a prototype."""
    head_hidden_dim: int = 2048
    """Width of the hidden layer of a head's MLP."""
    target_temperature: float = 0.06
    """Temperature of the Sinkhorn assignment."""
    prediction_temperature: float = 0.12
    """Temperature of the predicted distribution over prototypes."""
    sinkhorn_iterations: int = 3
    """Rounds of Sinkhorn-Knopp, each: prototypes, then rows."""
    sinkhorn_scale: float = 1.0
    """Exponent on the prototypes' sums; below 1 the use of the prototypes is balanced less
    strictly.
    """
    matching_epsilon: float = 0.1
    """Entropy of the matching between two sets of tokens."""
    matching_iterations: int = 5
    """Rounds of Sinkhorn in the matching."""
    teacher: Literal["none", "constant", "cosine"] = "none"
    """Momentum teacher that gives the targets: none (the main recipe), constant momentum, or
    cosine to 1.
    """
    teacher_momentum: float = 0.996
    """Momentum of the teacher, at the start when it follows a cosine."""

    def __post_init__(self) -> None:
        _check_choices(self, "objective")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name.endswith("_weight") and value is not None:
                _require(value >= 0, f"objective.{name} must not be negative, got {value}")
        for name in ("target_temperature", "prediction_temperature", "matching_epsilon"):
            _require(
                getattr(self, name) > 0,
                f"objective.{name} must be positive, got {getattr(self, name)}",
            )
        for name in (
            "num_prototypes",
            "prototype_dim",
            "head_hidden_dim",
            "sinkhorn_iterations",
            "matching_iterations",
        ):
            _require(
                getattr(self, name) >= 1,
                f"objective.{name} must be at least 1, got {getattr(self, name)}",
            )
        _require(
            0 < self.sinkhorn_scale <= 1,
            f"objective.sinkhorn_scale must be in (0, 1], got {self.sinkhorn_scale}",
        )
        _require(
            0 <= self.teacher_momentum <= 1,
            f"objective.teacher_momentum must be between 0 and 1, got {self.teacher_momentum}",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast, on what, and what is kept."""

    epochs: float = 150.0
    """Passes over the data."""
    steps: int | None = None
    """Number of optimizer steps; when given, it replaces `epochs`."""
    batch_size: int = 2048
    """Images of one optimizer step, over all processes."""
    accumulate: int = 1
    """Parts that a batch is split into, one after the other; Sinkhorn balances within a part."""
    views_at_once: int = 4
    """Masked or local views of each image that go through the network together. Fewer take less
    memory, more take a little less time; the result is the same.
    """
    learning_rate: float = 1.5e-4
    """Peak learning rate."""
    final_learning_rate: float = 1e-6
    """Learning rate at the end of the cosine."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises linearly to its peak."""
    weight_decay: float = 0.04
    """AdamW's weight decay; never on norms, biases, tokens and position tables."""
    beta1: float = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: float = 0.95
    """AdamW's decay of the squared gradient."""
    gradient_clip: float = 3.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of the networks; auto: bf16 where the hardware computes in it, else fp32."""
    seed: int = 0
    """Seed of the weights, the order of the data and every augmentation."""
    num_workers: int = 2
    """Loader processes of each rank; 0 loads in the training process."""
    max_skipped_steps: int = 20
    """Non-finite losses in a row after which the run stops."""
    log_every: int = 10
    """Steps between two lines of metrics."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard, into the run's folder."""
    sample_every: int = 1000
    """Steps between two sample pictures; 0: none."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints."""
    keep_every: int = 0
    """Keep every checkpoint whose step is a multiple of this, besides the last two; 0: only the
    last two.
    """

    def __post_init__(self) -> None:
        _check_choices(self, "training")
        _require(
            self.steps is None or self.steps >= 1,
            f"training.steps must be at least 1, got {self.steps}",
        )
        for name in ("epochs", "learning_rate"):
            _require(
                getattr(self, name) > 0,
                f"training.{name} must be positive, got {getattr(self, name)}",
            )
        for name in (
            "batch_size",
            "accumulate",
            "views_at_once",
            "max_skipped_steps",
            "log_every",
            "checkpoint_every",
        ):
            _require(
                getattr(self, name) >= 1,
                f"training.{name} must be at least 1, got {getattr(self, name)}",
            )
        for name in (
            "num_workers",
            "sample_every",
            "keep_every",
            "gradient_clip",
            "weight_decay",
            "seed",
        ):
            _require(
                getattr(self, name) >= 0,
                f"training.{name} must not be negative, got {getattr(self, name)}",
            )
        _require(
            0 <= self.warmup < 1, f"training.warmup must be a share in [0, 1), got {self.warmup}"
        )
        _require(
            self.batch_size % self.accumulate == 0,
            f"training.batch_size must be a multiple of accumulate = {self.accumulate}, "
            f"got {self.batch_size}",
        )


@dataclass(frozen=True)
class RunConfig:
    """One training run, whole: with the data, this is all that its result depends on."""

    data: str = "cutouts"
    """A folder of images, or `cutouts`: the scenes that come with the package."""
    init: str = ""
    """What to start from: a published model (stellar-b16), run, checkpoint or weights file of
    stellar; or a backbone (MAE, DINO, DINOv2, ViT), as a hub id such as facebook/vit-mae-base, a
    folder or a file, which then decides the encoder's sizes. Empty: random weights.
    """
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        patch = self.model.patch_size
        _require(
            self.views.local_size % patch == 0,
            f"views.local_size must be a multiple of model.patch_size = {patch}, "
            f"got {self.views.local_size}",
        )
        kept = int((self.model.image_size // patch) ** 2 * (1 - self.views.masking_ratio))
        _require(
            kept >= 1,
            f"views.masking_ratio = {self.views.masking_ratio} leaves no patch "
            "of a masked view; lower it",
        )
        if self.objective.teacher == "none" and self.objective.teacher_momentum != 0.996:
            warnings.warn(
                "objective.teacher_momentum has no effect without a teacher", stacklevel=3
            )
        if self.views.num_local == 0 and self.views.local_scale != ViewConfig.local_scale:
            warnings.warn("views.local_scale has no effect with num_local = 0", stacklevel=3)
