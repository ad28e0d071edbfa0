"""What only a GPU does: a step in its precision, and recorded, against the plain one."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_processes import COMPILED, losses_elsewhere
from PIL import Image
from torch import Tensor

from plain_step import plain_step
from stellar.config import ModelConfig, ObjectiveConfig, RunConfig, TrainingConfig, ViewConfig
from stellar.data.views import photometric
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel, StepResult, Views, step
from stellar.objective.prototypes import assign, cross_entropy, mean_prototype
from stellar.precision import autocast
from stellar.training.computation import compute_as, find_compiler
from stellar.training.cuda_graph import CapturedStep

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
"""Of tests that mean nothing elsewhere; the others can be rehearsed on a CPU."""
ALL: dict[str, Any] = {
    "codes": "fast",
    "residual": "bf16",
    "attention": "cudnn",
    "pack_views": True,
}
"""The settings that are off until a GPU has shown that they pay."""
SMALL_VQGAN = VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1, num_codes=64)


@pytest.fixture(params=["pixels", "codes"])
def model(
    request: pytest.FixtureRequest,
    small: ModelConfig,
    small_objective: ObjectiveConfig,
    gpu: torch.device,
) -> PretrainingModel:
    """Its heads are 16 wide: fused kernels of attention take multiples of 8."""
    small = replace(small, embed_dim=32)
    decoder = replace(small.decoder, target=request.param, num_codes=SMALL_VQGAN.num_codes)
    tokenizer = VQGAN(SMALL_VQGAN) if request.param == "codes" else None
    return PretrainingModel(replace(small, decoder=decoder), small_objective, tokenizer).to(gpu)


def views(device: torch.device, images: int = 4) -> Views:
    keep = torch.stack([torch.randperm(16)[:8].sort().values for _ in range(2 * images)])
    full, masked, local = (
        torch.rand(count, 3, size, size, device=device)
        for count, size in ((images, 16), (2 * images, 16), (images, 8))
    )
    return Views(full, masked, keep.to(device), local)


def gradients(model: PretrainingModel) -> Tensor:
    """All of them in one vector."""
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(found).clone()


def plain(model: PretrainingModel, batch: Views) -> tuple[Tensor, Tensor]:
    """The loss and its gradient, which the model does not keep."""
    total, _ = plain_step(model, batch)
    total.backward()
    gradient = gradients(model)
    model.zero_grad()
    return total.detach(), gradient


def test_a_step_equals_the_plain_one(model: PretrainingModel) -> None:
    batch = views(model.device)
    total, expected = plain(model, batch)
    result = step(model, batch, lambda loss: loss.backward(), nullcontext, 1)
    torch.testing.assert_close(result.total, total, rtol=1e-5, atol=0)
    assert (gradients(model) - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"codes": "fast"},
        {"residual": "bf16"},
        {"attention": "cudnn"},
        {"pack_views": True},
        ALL,
    ],
    ids=str,
)
def test_a_step_in_bf16_stays_near_the_plain_one(
    model: PretrainingModel, settings: dict[str, Any]
) -> None:
    batch = views(model.device)
    total, expected = plain(model, batch)
    training = replace(TrainingConfig(compile="off"), **settings)
    compute_as(model, training, model.device)
    result = step(
        model,
        batch,
        lambda loss: loss.backward(),
        autocast("bf16", model.device),
        pack_views=training.pack_views,
    )
    torch.testing.assert_close(result.total, total, rtol=0.02, atol=0)
    assert torch.cosine_similarity(gradients(model), expected, dim=0) > 0.98


@on_cuda
@pytest.mark.parametrize(
    ("precision", "settings"), [("fp32", {}), ("bf16", {}), ("bf16", ALL)], ids=str
)
def test_a_recorded_step_equals_one_that_is_not(
    model: PretrainingModel, precision: str, settings: dict[str, Any]
) -> None:
    """For views it was not recorded with, and added to the gradient that is there."""
    compute_as(model, TrainingConfig(compile="off", **settings), model.device)
    low, packed = autocast(precision, model.device), bool(settings)

    def run(views: Views, share: float) -> StepResult:
        return step(model, views, lambda loss: (loss * share).backward(), low, 1, pack_views=packed)

    captured = CapturedStep(run)
    for _ in range(3):
        captured(views(model.device), 0.5)
    assert len(captured.recordings) == 1
    first, second = views(model.device), views(model.device)
    model.zero_grad(set_to_none=False)
    losses = [captured(each, 0.5).total.item() for each in (first, second)]
    recorded = gradients(model)
    model.zero_grad(set_to_none=False)
    expected = [run(each, 0.5).total.item() for each in (first, second)]
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses[0] != losses[1]
    assert (gradients(model) - recorded).norm() <= 1e-3 * recorded.norm()


@on_cuda
def test_colours_are_changed_without_waiting_for_the_gpu(gpu: torch.device) -> None:
    """So the views of the next step are made beside this one."""
    rng = np.random.default_rng(0)
    config = ViewConfig(blur_probability=0.5)
    params = torch.stack([photometric.draw(rng, config) for _ in range(8)])
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    there = images.to(gpu)
    changed = photometric.apply(there, params, config)  # so that every kernel is loaded
    expected = photometric.apply(images, params, config)
    torch.testing.assert_close(changed.cpu(), expected, rtol=0, atol=1e-5)
    busy = torch.cuda.Event()
    torch.cuda._sleep(1 << 31)  # a second
    busy.record()
    photometric.apply(there, params, config)
    assert not busy.query()


@on_cuda
def test_heads_in_half_precision_stay_near_those_in_fp32(gpu: torch.device) -> None:
    """Among many prototypes, whose probabilities are small."""
    prototypes = torch.randn(4096, 64, device=gpu, requires_grad=True)
    full, x = (F.normalize(torch.randn(512, 64, device=gpu), dim=1) for _ in range(2))
    x.requires_grad_()
    target = assign(full, prototypes, 0.06, 3, 1.0)
    found = []
    for precision in ("fp32", "bf16"):
        with autocast(precision, gpu)():
            loss = cross_entropy(x, mean_prototype(prototypes, target), prototypes, 0.12)
        found.append((loss, *torch.autograd.grad(loss, (x, prototypes))))
    for exact, near in zip(*found, strict=True):
        assert 0 < (near - exact).norm() <= 5e-3 * exact.norm()


@on_cuda
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("settings", [{}, ALL], ids=["as it is", "all settings"])
def test_a_run_is_the_same_recorded_and_compiled(
    tmp_path: Path, config: RunConfig, settings: dict[str, Any]
) -> None:
    """The views come from the device, which cuts the full one out of a larger tensor."""
    config = replace(config, objective=replace(config.objective, spatial_noise=0.0))
    training = replace(config.training, precision="fp32", accumulate=2)
    fast = replace(training, compile="auto", cuda_graph=True, **settings)
    runs = {"plain": replace(config, training=training), "fast": replace(config, training=fast)}
    plain, ours = losses_elsewhere(runs, tmp_path)
    assert len(ours) == config.training.steps
    assert ours == [pytest.approx(row, rel=1e-3) for row in plain]
    assert any((tmp_path / COMPILED).iterdir())


def test_a_run_in_half_precision_stays_near_one_in_fp32(
    tmp_path: Path, config: RunConfig, gpu: torch.device
) -> None:
    """From JPEG files, whose crops the device cuts, to heads in half precision."""
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (24, 20 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(tmp_path / f"photos/{number}.jpg")
    config = replace(
        config,
        data=str(tmp_path / "photos"),
        views=replace(config.views, crops="device"),
        objective=replace(config.objective, spatial_noise=0.0),
    )
    fast = {"cuda_graph": gpu.type == "cuda", "compile": "auto", "num_workers": 1}
    exact, near = (
        replace(config, training=replace(config.training, precision=precision, **settings))
        for precision, settings in (("fp32", {}), ("bf16", fast))
    )
    plain, ours = losses_elsewhere({"exact": exact, "near": near}, tmp_path)
    assert len(ours) == config.training.steps
    assert [loss for loss, _ in ours] == [pytest.approx(loss, rel=0.02) for loss, _ in plain]
