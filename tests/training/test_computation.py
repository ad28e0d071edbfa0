"""Blocks that are computed again, and blocks that are compiled: the numbers of plain ones."""

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from in_processes import COMPILED, losses_elsewhere
from torch import Tensor

from stellar.config import ConfigError, ModelConfig, ObjectiveConfig, RunConfig
from stellar.objective import PretrainingModel, Views, step
from stellar.processes.launch import Ranks
from stellar.training import pretrain
from stellar.training.computation import find_compiler, recompute_blocks
from stellar.training.setup import require_possible


@pytest.fixture
def model(small: ModelConfig, small_objective: ObjectiveConfig) -> PretrainingModel:
    torch.manual_seed(0)
    return PretrainingModel(small, small_objective)


@pytest.fixture
def views() -> Views:
    keep = torch.stack([torch.randperm(16)[:8] for _ in range(6)])
    full, masked, local = (
        torch.rand(count, 3, size, size) for count, size in ((3, 16), (6, 16), (3, 8))
    )
    return Views(full, masked, keep, local)


def learned(model: PretrainingModel, views: Views, low: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of a step, in portions."""
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=low)
    result = step(model, views, lambda loss: loss.backward(), autocast, views_of_each=1)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return result.total.item(), gradients


@pytest.mark.parametrize("low", [False, True], ids=["fp32", "bf16"])
def test_blocks_computed_again_give_the_same_gradients(
    model: PretrainingModel, views: Views, low: bool
) -> None:
    loss, gradients = learned(model, views, low)
    other = copy.deepcopy(model)
    recompute_blocks(other)
    assert other.state_dict().keys() == model.state_dict().keys()
    again, others = learned(other, views, low)
    assert again == loss
    torch.testing.assert_close(others, gradients, rtol=0, atol=0)


@pytest.mark.long
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_a_compiled_run_gives_the_same_numbers(tmp_path: Path, config: RunConfig) -> None:
    """The full view and its tokens alone, which take one graph."""
    others = ("set_alignment", "cls_masked", "cls_local", "koleo", "reconstruction")
    off = {f"{term}_weight": 0.0 for term in others}
    config = replace(config, objective=replace(config.objective, **off))
    training = replace(config.training, steps=4, precision="fp32")
    runs = {
        setting: replace(config, training=replace(training, compile=setting))
        for setting in ("off", "on")
    }
    plain, ours = losses_elsewhere(runs, tmp_path)
    assert len(ours) == 4
    assert ours == [pytest.approx(row, rel=1e-4) for row in plain]
    assert any((tmp_path / COMPILED).rglob("*.so"))


def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    too_small = replace(config.training, batch_size=4, accumulate=4)
    recorded = replace(config.training, cuda_graph=True)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for training, processes, device, said in (
        (replace(config.training, compile="on"), 1, cpu, "C.. compiler, and none was found"),
        (too_small, 2, cpu, "batch_size = 4 must be at least accumulate x processes = 4 x 2"),
        (recorded, 1, cpu, "one process on a GPU, got 1 on cpu"),
        (recorded, 2, gpu, "one process on a GPU, got 2 on cuda"),
        (recorded, 1, gpu, "objective.spatial_noise = 0.5 draws some"),
    ):
        with pytest.raises(ConfigError, match=said):
            require_possible(replace(config, training=training), Ranks(0, processes), device)
    compiled = replace(config, training=replace(config.training, compile="on"))
    with pytest.raises(ConfigError, match="compiler"):
        pretrain(compiled, tmp_path / "run")
    assert not (tmp_path / "run").exists()
