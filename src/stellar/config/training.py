"""The loop: how long, how fast, and what is kept."""

import math
from dataclasses import dataclass
from typing import Literal

from stellar.config.checks import (
    check_at_least,
    check_choices,
    check_numbers,
    check_workers,
    require,
    warn,
)
from stellar.config.field_types import settle_types

LARGEST_WHOLE = 2**62
"""Of any number; a seed may be as large."""


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
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What several processes hold of encoder and decoder. ddp: each holds all of it. fsdp: weights,
    gradients and optimizer state are split over them, for models too large for one GPU. The result
    is the same.
    """
    views_at_once: int = 512
    """Masked or local views that go through the network together in a process, at least one of each
    image. Fewer take less memory, more take a little less time; the result is the same.
    """
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the transformer blocks and the tokenizer (torch.compile): a minute at the start, and
    again for each new shape, for faster steps. auto: on a GPU. Needs a C++ compiler.
    """
    cuda_graph: bool = False
    """Record the step on a GPU as a CUDA graph and play it back, so that the GPU does not wait for
    the host; for small batches. For one process, and without `spatial_noise`.
    """
    recompute: bool = False
    """Keep each transformer block's input alone and compute the rest again in the backward pass:
    a fraction of the memory for up to a third more time. The result is the same.
    """
    codes: Literal["exact", "fast"] = "exact"
    """How much of the tokenizer is in bf16 where the networks are. exact: its two finest levels.
    fast: all of it; one to three codes in a hundred change. Not run on a GPU yet.
    """
    residual: Literal["fp32", "bf16"] = "fp32"
    """What transformer blocks hand on where the networks are in bf16. bf16 is half the bytes, and
    gradients are less exact. Not run on a GPU yet.
    """
    attention: Literal["auto", "cudnn"] = "auto"
    """Kernel of the attention on a GPU. auto: torch's choice, another for few tokens. cudnn: that
    of cuDNN where there is one. The result is the same. Not run on a GPU yet.
    """
    pack_views: bool = False
    """Full, masked and local views go through the encoder in one pass, for small batches, where a
    GPU waits for the host. All are alive at once: `views_at_once` has no effect. The result is the
    same. Not with fsdp. Not run on a GPU yet.
    """
    learning_rate: float = 1.5e-4
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warmup: a cosine down to `final_learning_rate`, or the peak to the end, as
    in the published configuration.
    """
    final_learning_rate: float = 1e-6
    """Learning rate at the end of the cosine."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises linearly to its peak."""
    weight_decay: float = 0.04
    """AdamW's weight decay."""
    decayed: Literal["matrices", "all"] = "matrices"
    """What decays. matrices: not norms, biases, tokens and position tables, which it would only
    harm. all: every parameter, as in the published configuration.
    """
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
    """Steps in a row with a non-finite loss or gradient after which the run stops."""
    log_every: int = 10
    """Steps between two lines of metrics."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard, into the run's folder."""
    sample_every: int = 1000
    """Steps between two sample pictures, the last of which is drawn at the end; 0: none."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints."""
    keep_every: int = 0
    """Keep every checkpoint whose step is a multiple of this, besides the last two; 0: only the
    last two.
    """

    @property
    def length(self) -> str:
        """In words: steps if given, else epochs."""
        return f"{self.epochs:g} epochs" if self.steps is None else f"{self.steps:,} steps"

    def num_steps(self, num_images: int) -> int:
        """Optimizer steps of a run on so many images: `steps` if given, else those of `epochs`."""
        return self.steps or max(1, round(self.epochs * num_images / self.batch_size))

    def views_of_each(self, images: int) -> int:
        """Masked or local views of each image that go through the network together, when so many
        images do.
        """
        return max(1, self.views_at_once // images)

    def images_at_once(self, processes: int) -> int:
        """Images that go through the network together in a process: its share of a part of the
        batch. Where the part cannot be shared evenly, some processes have one image less.
        """
        return math.ceil(self.batch_size / (self.accumulate * processes))

    def __post_init__(self) -> None:
        settle_types(self, "training")
        check_choices(self, "training")
        check_numbers(self, "training", LARGEST_WHOLE)
        if self.schedule == "constant" and self.final_learning_rate != 1e-6:
            warn("training.final_learning_rate has no effect without a cosine")
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name} must be in [0, 1), got {value}")
        check_at_least(self, "training", 0, "final_learning_rate")
        require(
            self.steps is None or self.steps >= 1,
            f"training.steps must be at least 1, got {self.steps}",
        )
        for name in ("epochs", "learning_rate"):
            require(
                getattr(self, name) > 0,
                f"training.{name} must be positive, got {getattr(self, name)}",
            )
        counts = ("batch_size", "accumulate", "views_at_once", "max_skipped_steps")
        check_at_least(self, "training", 1, *counts, "log_every", "checkpoint_every")
        check_workers(self.num_workers, "training.num_workers")
        for name in (
            "sample_every",
            "keep_every",
            "gradient_clip",
            "weight_decay",
            "seed",
        ):
            require(
                getattr(self, name) >= 0,
                f"training.{name} must not be negative, got {getattr(self, name)}",
            )
        require(
            0 <= self.warmup < 1, f"training.warmup must be a share in [0, 1), got {self.warmup}"
        )
        require(
            self.batch_size % self.accumulate == 0,
            f"training.batch_size must be a multiple of accumulate = {self.accumulate}, "
            f"got {self.batch_size}",
        )
        require(
            not self.pack_views or self.parallel == "ddp",
            f"training.pack_views needs training.parallel = ddp, got {self.parallel}; set it to "
            "false",
        )
