"""Named starting points: the paper's three models, and small ones for a laptop.

Every preset is a complete `RunConfig`; any field can be overridden. `b16`, `l16` and `h16` are
the published recipes (arXiv 2602.01905, table of hyperparameters, and the configuration that was
published with it): 16 GPUs x 128 images. They start from masked-autoencoder weights, which `init`
has to name. docs/models.md lists what still differs from them, and why.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Never

from stellar.config import (
    ConfigError,
    DecoderConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
    nearest,
)

PUBLISHED_VIEWS = ViewConfig(share_crop=True, antialias=False)
"""What an image becomes in the published recipe."""
PUBLISHED_TRAINING = TrainingConfig(schedule="constant", warmup=0.0, decayed="all", beta2=0.999)
"""How the published recipe trains: it leaves what it does not name at torch's defaults."""


def b16() -> RunConfig:
    """ViT-B/16, 86 M parameters: the paper's main model, 150 epochs of ImageNet-1k."""
    return RunConfig(views=PUBLISHED_VIEWS, training=PUBLISHED_TRAINING)


def l16() -> RunConfig:
    """ViT-L/16, 304 M parameters: 100 epochs of ImageNet-1k."""
    return RunConfig(
        model=ModelConfig(embed_dim=1024, depth=24, num_heads=16),
        views=PUBLISHED_VIEWS,
        training=replace(PUBLISHED_TRAINING, epochs=100.0, learning_rate=5e-5),
    )


def h16() -> RunConfig:
    """ViT-H with 14 px patches and 16 tokens, 632 M parameters: 50 epochs of ImageNet-1k."""
    return RunConfig(
        model=ModelConfig(patch_size=14, embed_dim=1280, depth=32, num_heads=16),
        views=replace(PUBLISHED_VIEWS, local_size=98),
        training=replace(PUBLISHED_TRAINING, epochs=50.0, learning_rate=5e-5),
    )


def b16_scratch() -> RunConfig:
    """ViT-B/16 from random weights, the first of two stages: a teacher and lighter masking.

    The second stage is `b16` for 75 epochs with `init` set to this run.
    """
    return replace(
        b16(),
        views=replace(PUBLISHED_VIEWS, masking_ratio=0.6),
        objective=ObjectiveConfig(teacher="constant"),
    )


def b16_global() -> RunConfig:
    """ViT-B/16 from random weights with global alignment in place of a teacher, which the published
    code recommends since June 2026; the rest is the first stage of `b16-scratch`.
    """
    return replace(b16_scratch(), objective=ObjectiveConfig(global_alignment="matched"))


def tiny() -> RunConfig:
    """4.6 M parameters, 96 px, pixels: learns a folder of some thousand pictures on a laptop or
    one GPU.
    """
    return RunConfig(
        model=ModelConfig(
            image_size=96,
            patch_size=8,
            embed_dim=192,
            depth=9,
            num_heads=3,
            num_sparse_tokens=12,
            decoder=DecoderConfig(target="pixels", embed_dim=128, depth=2, num_heads=4),
        ),
        # Few views and small batches, so many steps: docs/trials.md has what they are worth.
        views=ViewConfig(num_masked=2, num_local=1, local_size=48, masking_ratio=0.5),
        objective=ObjectiveConfig(
            num_prototypes=2048, prototype_dim=128, head_hidden_dim=512, spatial_noise=1.0
        ),
        training=TrainingConfig(
            epochs=100.0,
            batch_size=16,
            learning_rate=1e-3,
            checkpoint_every=1000,
            sample_every=1000,
        ),
    )


def demo() -> RunConfig:
    """0.8 M parameters, 48 px: what `make demo` trains on the embedded scenes in minutes on two
    cores.
    """
    return RunConfig(
        data="scenes",
        model=ModelConfig(
            image_size=48,
            patch_size=6,
            embed_dim=128,
            depth=4,
            num_heads=4,
            mlp_ratio=2.0,
            num_sparse_tokens=12,
            decoder=DecoderConfig(
                target="pixels", embed_dim=96, depth=2, num_heads=4, mlp_ratio=2.0
            ),
        ),
        # Things have clear colours and are small, so gentle colour changes and no blur. Small
        # batches: at an equal cost, many steps teach more than large ones (recipes/trials.py).
        views=ViewConfig(
            num_masked=2,
            num_local=1,
            local_size=24,
            masking_ratio=0.5,
            brightness=0.2,
            contrast=0.2,
            saturation=0.1,
            hue=0.02,
            grey_probability=0.0,
            blur_probability=0.0,
        ),
        objective=ObjectiveConfig(
            num_prototypes=128, prototype_dim=64, head_hidden_dim=256, spatial_noise=1.0
        ),
        training=TrainingConfig(
            steps=500,
            batch_size=16,
            learning_rate=2e-3,
            num_workers=1,
            checkpoint_every=500,
            sample_every=100,
        ),
    )


class Presets(dict[str, Callable[[], RunConfig]]):
    """By name. Raises ConfigError for any other."""

    def __missing__(self, name: str) -> Never:
        raise ConfigError(
            f"a preset is one of {', '.join(self)} (a run has its settings in its run.toml), "
            f"got {name!r}{nearest(name, self)}"
        )


PRESETS = Presets(
    {
        preset.__name__.replace("_", "-"): preset
        for preset in (demo, tiny, b16, l16, h16, b16_scratch, b16_global)
    }
)
