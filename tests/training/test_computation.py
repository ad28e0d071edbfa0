"""Settings of how networks are computed: the numbers of plain ones, as near as each promises."""

import copy
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from in_processes import COMPILED, losses_elsewhere
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends
from torch.overrides import TorchFunctionMode

from plain_step import plain_step
from stellar.config import ConfigError, ModelConfig, ObjectiveConfig, RunConfig, TrainingConfig
from stellar.model.transformer import Block, BlockSize, attend
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel, Views, step
from stellar.processes.launch import Ranks
from stellar.training import pretrain
from stellar.training.computation import blocks, compute_as, find_compiler, recompute_blocks
from stellar.training.loop import Training
from stellar.training.setup import prepare, require_possible

CPU = torch.device("cpu")
DEFAULT = TrainingConfig()
SMALL_VQGAN = VQGANConfig(channels=32, multipliers=(1, 1, 2), code_dim=32, num_codes=256)


@pytest.fixture
def model(small: ModelConfig, small_objective: ObjectiveConfig) -> PretrainingModel:
    torch.manual_seed(0)
    return PretrainingModel(small, small_objective)


@pytest.fixture
def tokenizer() -> VQGAN:
    """Its codebook is made of vectors that its encoder gives, so that neighbours are near."""
    torch.manual_seed(0)
    model = VQGAN(SMALL_VQGAN)
    for layer in model.encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight).mul_(0.5)
    rows = model.encoder(smooth_images(16)).permute(0, 2, 3, 1).flatten(0, 2)
    model.quantize.embedding.weight.data = rows[torch.randperm(len(rows))[:256]].clone()
    return model


def smooth_images(count: int) -> Tensor:
    coarse = torch.rand(count, 3, 8, 8)
    return F.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)


def low() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


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


def test_rotary_positions_are_handed_to_blocks_that_are_computed_again(
    small: ModelConfig, small_objective: ObjectiveConfig, views: Views
) -> None:
    model = PretrainingModel(replace(small, rope_theta=100.0), small_objective)
    expected = copy.deepcopy(model)
    recompute_blocks(model)
    assert_equal_steps(model, expected, views)


def test_the_tokenizer_wholly_in_bf16_gives_nearly_the_same_codes(tokenizer: VQGAN) -> None:
    images = smooth_images(16)
    exact = tokenizer.codes(images)
    with low():
        finest_alone = tokenizer.encoder(images)
    seen: list[torch.dtype] = []
    for layer in tokenizer.encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    compute_as(tokenizer, replace(DEFAULT, codes="fast"), CPU)
    with low():
        wholly, codes = tokenizer.encoder(images), tokenizer.codes(images)
    assert (finest_alone.dtype, wholly.dtype) == (torch.float32, torch.bfloat16)
    assert set(seen) == {torch.bfloat16}
    assert exact.unique().numel() > 128
    assert 0.95 <= (codes == exact).float().mean() < 1
    assert torch.equal(tokenizer.codes(images), exact)
    compute_as(tokenizer, DEFAULT, CPU)
    with low():
        assert torch.equal(tokenizer.encoder(images), finest_alone)


@pytest.mark.parametrize(
    "sizes",
    [{}, {"layer_scale": True}, {"rope_theta": 100.0, "gated_mlp": True}],
    ids=["plain", "layer scale", "rotary and gated"],
)
def test_a_step_with_a_bf16_residual_stays_near_the_plain_one(
    small: ModelConfig, small_objective: ObjectiveConfig, views: Views, sizes: dict[str, bool]
) -> None:
    model = PretrainingModel(replace(small, **sizes), replace(small_objective, teacher="constant"))
    views = replace(views, second=torch.rand_like(views.full))
    plain, expected = copy.deepcopy(model), copy.deepcopy(model)
    total, _ = plain_step(plain, views)
    total.backward()
    handed_on: list[torch.dtype] = []
    for block in blocks(model):
        block.register_forward_hook(lambda *given: handed_on.append(given[2].dtype))
    learned(model, views, low=True)
    assert set(handed_on) == {torch.float32}
    model.zero_grad()

    compute_as(model, replace(DEFAULT, residual="bf16"), CPU)
    handed_on.clear()
    loss, gradients = learned(model, views, low=True)
    assert set(handed_on) == {torch.bfloat16}
    with low():
        assert model.encoder(views.full).sparse.dtype == torch.float32
    assert loss == pytest.approx(total.item(), rel=0.02)
    flat = [
        torch.cat([gradient.flatten() for gradient in each])
        for each in (
            gradients.values(),
            [p.grad for p in plain.parameters() if p.grad is not None],
        )
    ]
    assert torch.cosine_similarity(*flat, dim=0) > 0.98
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())

    model.zero_grad()
    assert_equal_steps(model, expected, views)


def test_norms_learn_in_fp32_from_a_bf16_residual() -> None:
    """Over many rows: sums of gradients in bf16 would be off by more than a tenth."""
    plain = Block(BlockSize(16, 2, 32, 1e-6))
    ours, x, weights = copy.deepcopy(plain), torch.randn(60, 100, 16), torch.rand(16)
    compute_as(ours, replace(DEFAULT, residual="bf16", compile="off"), CPU)
    (plain(x) * weights).sum().backward()
    with low():
        (ours(x).float() * weights).sum().backward()
    for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
        exact, near = (block.get_parameter(name).grad for block in (plain, ours))
        assert exact is not None
        assert near is not None
        assert 0 < (near - exact).norm() <= 0.03 * exact.norm(), name


def assert_equal_steps(model: PretrainingModel, other: PretrainingModel, views: Views) -> None:
    """Without autocast, to the last bit."""
    (loss, gradients), (expected, others) = (
        learned(each, views, low=False) for each in (model, other)
    )
    assert loss == expected
    torch.testing.assert_close(gradients, others, rtol=0, atol=0)


class Kernels(TorchFunctionMode):
    """The kernels of attention that torch may take, in order, at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[SDPBackend]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.seen.append(_cur_sdpa_kernel_backends(with_priority=True))
        return func(*args, **(kwargs or {}))


def test_cudnn_comes_first_where_it_is_wanted(model: PretrainingModel, views: Views) -> None:
    """And nothing is left of that afterwards; on a CPU, the step is the same."""
    expected, before = copy.deepcopy(model), _cur_sdpa_kernel_backends(with_priority=True)
    assert before[0] is not SDPBackend.CUDNN_ATTENTION
    compute_as(model, replace(DEFAULT, attention="cudnn"), CPU)
    with Kernels() as kernels:
        learned(model, views, low=False)
    assert len(kernels.seen) > 0
    for seen in kernels.seen:
        assert seen[0] is SDPBackend.CUDNN_ATTENTION
        assert SDPBackend.MATH in seen
    assert _cur_sdpa_kernel_backends(with_priority=True) == before
    with Kernels() as kernels:
        learned(expected, views, low=False)
    assert all(seen == before for seen in kernels.seen)
    model.zero_grad()
    expected.zero_grad()
    assert_equal_steps(model, expected, views)


def test_attention_by_the_first_of_torchs_kernels_is_attention() -> None:
    ours, plain = ([torch.randn(2, 2, 7, 16) for _ in range(3)] for _ in range(2))
    for own, other in zip(ours, plain, strict=True):
        own.copy_(other).requires_grad_()
        other.requires_grad_()
    q, k, v = plain
    expected = torch.softmax(q @ k.mT / 4, dim=3) @ v
    attended = attend(*ours, cudnn_first=True)
    torch.testing.assert_close(attended, expected, rtol=0, atol=1e-5)
    attended.square().sum().backward()
    expected.square().sum().backward()
    for own, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=1e-5)


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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_is_computed_as_its_settings_say(
    config: RunConfig, views: Views, precision: str
) -> None:
    settings = replace(
        config.training,
        precision=precision,  # pyright: ignore
        residual="bf16",
        attention="cudnn",
        pack_views=True,
        recompute=True,
    )
    run = prepare(replace(config, training=settings))
    training = Training.set_up(run, None, Ranks(), CPU, None)
    seen: list[tuple[int, torch.dtype]] = []
    training.model.encoder.blocks[0].register_forward_hook(
        lambda *given: seen.append((given[2].ndim, given[2].dtype))
    )
    with Kernels() as kernels:
        training.run_step(views, 1.0)
    assert seen == [(2, torch.bfloat16 if precision == "bf16" else torch.float32)]
    assert all(order[0] is SDPBackend.CUDNN_ATTENTION for order in kernels.seen)
    assert bool(kernels.seen) == (precision == "fp32"), "in bf16 a CPU does without them"


COMPILE = """
import torch
from torch.testing import assert_close
from stellar.config import TrainingConfig
from stellar.model.transformer import Block, BlockSize
from stellar.model.vqgan import VQEncoder, VQGANConfig
from stellar.training.computation import choose_arithmetic

every = TrainingConfig(codes="fast", residual="bf16", attention="cudnn", pack_views=True)
block = Block(BlockSize(24, 2, 48, 1e-6, gated_mlp=True))
tokenizer = VQEncoder(VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1))
choose_arithmetic(torch.nn.ModuleList([block, tokenizer]), every)
compiled, compiled_tokenizer = (
    torch.compile(module.forward, dynamic=False, fullgraph=True, backend="aot_eager")
    for module in (block, tokenizer)
)
packed, images = torch.randn(2 * 20 + 9 * 8, 24), torch.rand(2, 3, 16, 16)
angles = torch.rand(2 * 20 + 9 * 8, 12)
turns = torch.stack([angles.cos(), angles.sin()])
ways = [
    (packed, None, ((2, 20), (9, 8)), None),
    (packed, None, ((2, 20), (9, 8)), turns),
    (packed[:40].unflatten(0, (2, 20)), 4, None, None),
    (packed[:40].unflatten(0, (2, 20)), 4, None, turns[:, None, :20]),
]
for low in (False, True):
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        for x, *how in ways:
            given, found, gradients = x.clone().requires_grad_(), [], []
            for run in (block, compiled):
                found.append(run(given, *how))
                gradients += torch.autograd.grad(found[-1].float().square().sum(), given)
            assert found[1].dtype == (torch.bfloat16 if low else torch.float32)
            tolerance = {"rtol": 0, "atol": 0.05 if low else 1e-5}
            assert_close(*found, **tolerance)
            assert_close(*gradients, **tolerance)
        with torch.no_grad():
            codes = compiled_tokenizer(images)
            assert codes.dtype == (torch.bfloat16 if low else torch.float32)
            assert_close(codes, tokenizer(images), **tolerance)
"""


@pytest.mark.long
def test_the_settings_are_part_of_the_graph() -> None:
    """Without a break; in a process of its own, as the checks of shapes cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_the_settings_survive_compiling(
    tmp_path: Path, config: RunConfig, tokenizer: VQGAN
) -> None:
    """In fp32, where they are exact, the numbers of a run with none of them; in bf16, nearly those
    of the same run that is not compiled.
    """
    torch.save(tokenizer.state_dict(), tmp_path / "vqgan.bin")
    decoder = replace(
        config.model.decoder,
        target="codes",
        num_codes=SMALL_VQGAN.num_codes,
        tokenizer=str(tmp_path / "vqgan.bin"),
    )
    off = {f"{term}_weight": 0.0 for term in ("set_alignment", "cls_masked", "koleo")}
    config = replace(
        config,
        model=replace(config.model, decoder=decoder),
        objective=replace(config.objective, **off),
    )
    plain = replace(config.training, steps=3, precision="fp32")
    every = replace(plain, codes="fast", residual="bf16", attention="cudnn", pack_views=True)
    low = replace(every, precision="bf16")
    runs = {
        "plain": plain,
        "compiled": replace(every, compile="on"),
        "bf16": low,
        "compiled bf16": replace(low, compile="on"),
    }
    losses = losses_elsewhere(
        {name: replace(config, training=run) for name, run in runs.items()}, tmp_path
    )
    exact, compiled, rounded, compiled_rounded = losses
    assert len(exact) == len(compiled) == 3
    assert compiled == [pytest.approx(row, rel=1e-4) for row in exact]
    assert compiled_rounded == [pytest.approx(row, rel=0.05) for row in rounded]
    assert rounded != exact


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
