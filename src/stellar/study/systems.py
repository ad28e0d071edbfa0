"""STELLAR's opposites, made of its own parts: other objectives for the same encoder, decoder, data
and budget.

- `dino`: the global token alone. A student sees a global crop and local ones, and predicts the
  assignment that a momentum teacher gives to another global crop (Caron et al. 2021; targets
  balanced by Sinkhorn, as in DINOv2).
- `mae`: pixels alone. Three quarters of the patches are hidden and drawn again from the others (He
  et al. 2022).
- `slots`: slot attention on the same encoder. Three rounds, in which slots compete for the patches,
  make S and L, and reconstruction alone is learned from (Locatello et al. 2020).
- `dense`: STELLAR's own objective on a dense bottleneck. Each patch is squeezed to a few numbers,
  so that an image takes as many as S and L together, and every patch is a token.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from stellar.config import ConfigError, ModelConfig, ObjectiveConfig, RunConfig, ViewConfig


def stellar(base: RunConfig) -> RunConfig:
    """The run as it is."""
    return base


def dino(base: RunConfig) -> RunConfig:
    """cls self-distillation with multi-crop and a teacher."""
    return replace(
        base,
        model=_without_tokens(base.model),
        views=replace(base.views, num_masked=1, share_crop=False, masking_ratio=0.0),
        objective=_only(
            base.objective,
            cls_clustering_weight=1.0,
            cls_local_weight=1.0,
            teacher="constant",
        ),
    )


def mae(base: RunConfig) -> RunConfig:
    """Masked reconstruction on the dense grid, of four views of each image."""
    return replace(
        base,
        model=_without_tokens(base.model),
        views=replace(
            base.views,
            num_masked=4,
            num_local=0,
            local_scale=ViewConfig.local_scale,
            masking="random",
            masking_ratio=0.75,
            jitter_probability=0.0,
            grey_probability=0.0,
            blur_probability=0.0,
        ),
        objective=_only(base.objective, masked_reconstruction_weight=10.0, teacher="none"),
    )


def slots(base: RunConfig) -> RunConfig:
    """An autoencoder whose S and L are slots and what they attend to."""
    return replace(
        base,
        model=replace(base.model, slot_rounds=3),
        views=replace(base.views, num_masked=0, num_local=0, local_scale=ViewConfig.local_scale),
        objective=_only(
            base.objective,
            reconstruction_weight=base.objective.reconstruction_weight,
            teacher="none",
            spatial_noise=0.0,
        ),
    )


def dense(base: RunConfig) -> RunConfig:
    """STELLAR's objective on a dense bottleneck of as many numbers as S and L have."""
    model = base.model
    patches = (model.image_size // model.patch_size) ** 2
    bottleneck = max(1, round(model.numbers_per_image()["S and L"] / patches))
    return replace(base, model=replace(_without_tokens(model), bottleneck=bottleneck))


SYSTEMS: dict[str, Callable[[RunConfig], RunConfig]] = {
    system.__name__: system for system in (stellar, slots, dino, mae, dense)
}


def require_systems(names: Iterable[str]) -> None:
    """Raises ConfigError for a name of no system."""
    for name in names:
        if name not in SYSTEMS:
            raise ConfigError(f"a system must be one of {', '.join(SYSTEMS)}, got {name!r}")


def _without_tokens(model: ModelConfig) -> ModelConfig:
    return replace(model, num_sparse_tokens=0)


def _only(objective: ObjectiveConfig, **settings: object) -> ObjectiveConfig:
    """An objective of the terms that are named alone, and other settings as given. None of them
    aligns two whole views.
    """
    off = {f"{term}_weight": 0.0 for term in objective.terms} | {"global_alignment": "off"}
    return replace(objective, **(off | settings))  # pyright: ignore[reportArgumentType]
