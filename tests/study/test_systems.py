"""STELLAR's opposites: each learns from its own terms alone, and costs an image as much."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import ConfigError, ModelConfig, ObjectiveConfig, RunConfig, ViewConfig
from stellar.config_toml import read_run_config
from stellar.data import MultiView, Scenes
from stellar.model import Stellar
from stellar.objective import PretrainingModel, Views, step
from stellar.presets import PRESETS, demo
from stellar.study.systems import SYSTEMS
from stellar.training.health import measure_health

TERMS = {
    "stellar": {
        "reconstruction", "token_clustering", "cls_clustering", "set_alignment", "cls_masked",
        "cls_local", "koleo",
    },
    "slots": {"reconstruction"},
    "dino": {"cls_clustering", "cls_local"},
    "mae": {"masked_reconstruction"},
    "dense": {
        "reconstruction", "token_clustering", "cls_clustering", "set_alignment", "cls_masked",
        "cls_local", "koleo",
    },
}  # fmt: skip
RECIPE = Path(__file__).parents[2] / "recipes/scenes.toml"
RUNS = {
    **{name: preset() for name, preset in PRESETS.items()},
    "recipes/scenes.toml": read_run_config(RECIPE),
    "small local crops": replace(demo(), views=replace(demo().views, local_scale=(0.05, 0.2))),
}


@pytest.fixture
def base(small: ModelConfig, small_objective: ObjectiveConfig) -> RunConfig:
    return RunConfig(
        model=small,
        views=ViewConfig(num_masked=2, num_local=2, local_size=8, masking_ratio=0.5),
        objective=small_objective,
    )


def views(config: RunConfig) -> Views:
    patches = (config.model.image_size // config.model.patch_size) ** 2
    masked = config.views.num_masked
    kept = int(patches * (1 - config.views.masking_ratio))
    keep = torch.rand(3 * masked, patches).argsort(dim=1)[:, :kept]
    return Views(
        torch.rand(3, 3, 16, 16),
        torch.rand(3 * masked, 3, 16, 16),
        keep if config.views.masking_ratio else None,
        torch.rand(3 * config.views.num_local, 3, 8, 8),
        torch.rand(3, 3, 16, 16),
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_learns_from_its_own_terms(base: RunConfig, name: str) -> None:
    config = SYSTEMS[name](base)
    model = PretrainingModel(config.model, config.objective)
    result = step(model, views(config), lambda loss: loss.backward())
    assert {term for term, _ in result.losses.present()} == TERMS[name]
    assert all(
        p.grad is not None for p in model.encoder.parameters() if p.numel() and p.requires_grad
    )
    row = measure_health(result, 0.12).as_row()
    assert row["effective_rank"] > 1
    assert ("slot_separation" in row) == (name in {"stellar", "dense"})
    assert ("prototype_perplexity" in row) == (name not in {"mae", "slots"})


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_encodes_and_draws(base: RunConfig, name: str) -> None:
    model = Stellar(SYSTEMS[name](base).model).eval()
    factors = model.encode(torch.rand(2, 3, 16, 16))
    assert factors.lowrank.shape == factors.dense.shape == (2, 16, 24)
    assert model.reconstruct(factors).shape == (2, 3, 16, 16)
    assert factors.sparse.shape[1] == (3 if name in {"stellar", "slots"} else 0)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_run_has_every_system(name: str, run: str, caplog: pytest.LogCaptureFixture) -> None:
    """And none has settings without effect."""
    config = SYSTEMS[name](RUNS[run])
    assert set(config.objective.terms) == TERMS[name]
    assert not caplog.records


@pytest.mark.parametrize("run", RUNS)
def test_the_teacher_of_dino_sees_another_crop(run: str) -> None:
    config = SYSTEMS["dino"](RUNS[run])
    model = config.model
    seen = MultiView(Scenes("train"), model.image_size, model.patch_size, config.views, seed=0)
    for index in range(3):
        students, teachers, *_ = seen.sample((0, index)).draws.crops[0]
        assert not torch.equal(students, teachers)


def test_terms_that_a_run_adds_are_not_their_own(base: RunConfig) -> None:
    more = replace(base, objective=replace(base.objective, masked_reconstruction_weight=1.0))
    assert set(SYSTEMS["dino"](more).objective.terms) == TERMS["dino"]


def test_the_dense_bottleneck_takes_as_many_numbers_as_the_tokens(base: RunConfig) -> None:
    stellar = SYSTEMS["stellar"](base).model.numbers_per_image()["S and L"]
    dense = SYSTEMS["dense"](base).model.numbers_per_image()["bottleneck"]
    assert abs(dense - stellar) <= 16 / 2
    bottleneck = Stellar(SYSTEMS["dense"](base).model).encoder.bottleneck
    assert bottleneck is not None
    assert bottleneck.squeeze(torch.rand(1, 16, 24)).shape[1:].numel() == dense


def test_without_tokens_z_is_u(base: RunConfig) -> None:
    factors = Stellar(SYSTEMS["mae"](base).model).encode(torch.rand(1, 3, 16, 16))
    assert torch.equal(factors.lowrank, factors.dense)


def test_terms_about_tokens_are_refused_without_tokens(base: RunConfig) -> None:
    with pytest.raises(
        ConfigError,
        match=r"tokens is 0, .* set objective\.token_c\S+ objective\.set_al\S+ objective\.koleo",
    ):
        replace(base, model=replace(base.model, num_sparse_tokens=0))
    with pytest.raises(ConfigError, match="needs views that hide something"):
        replace(SYSTEMS["mae"](base), views=replace(base.views, masking_ratio=0.0))
    with pytest.raises(ConfigError, match=r"goes with model.num_sparse_tokens = 0"):
        replace(base.model, bottleneck=4)
