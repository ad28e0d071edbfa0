"""The cost model against torch: FLOP counted and bytes kept in the true training step, on tensors
that have shapes but no numbers, so that ViT-B/16 is as quick as any other.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from stellar.config import RunConfig
from stellar.cost import (
    Machines,
    encoding_flops,
    num_parameters,
    plan,
    training_flops,
    training_memory,
)
from stellar.cost.flops import TOKENIZER_FLOP, _Block, _block, _encoder
from stellar.cost.memory import TOKENIZER_WEIGHTS, kept_bytes
from stellar.data.views.masking import num_kept
from stellar.model import transformer
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel, Views, step
from stellar.presets import b16, demo, h16, tiny
from stellar.study.systems import dense, dino, mae, slots
from stellar.training.computation import recompute_blocks

BATCH = 2
RUNS = {
    "tiny": tiny(),
    "b16": b16(),
    "dense": dense(demo()),
    "dino": dino(demo()),
    "pooled": replace(demo(), objective=replace(demo().objective, pooled_dense=True)),
    "global": replace(demo(), objective=replace(demo().objective, global_alignment="matched")),
    "global, tokens alone": replace(
        demo(),
        objective=replace(
            demo().objective,
            global_alignment="matched",
            cls_clustering_weight=0.0,
            pooled_dense=True,
        ),
    ),
    "slots": slots(demo()),
    "dinov3": replace(
        tiny(),
        model=replace(
            tiny().model, gated_mlp=True, rope_theta=100.0, num_registers=4, layer_scale=True
        ),
    ),
    "STELLAR's terms of slots": replace(demo(), model=slots(demo()).model),
}


def build(config: RunConfig) -> PretrainingModel:
    """The run's model, without numbers."""
    with torch.device("meta"):
        tokenizer = VQGAN(VQGANConfig()) if config.model.decoder.target == "codes" else None
        return PretrainingModel(config.model, config.objective, tokenizer)


def views_of(config: RunConfig, batch: int = BATCH) -> Views:
    size, views = config.model.image_size, config.views
    masked, local = batch * views.num_masked, batch * views.num_local
    kept = num_kept((size // config.model.patch_size) ** 2, views.masking_ratio)
    return Views(
        torch.rand(batch, 3, size, size),
        torch.rand(masked, 3, size, size),
        torch.zeros(masked, kept, dtype=torch.int64) if views.masking_ratio else None,
        torch.rand(local, 3, views.local_size, views.local_size),
        torch.rand(batch, 3, size, size) if config.objective.uses_second else None,
    )


def recomputed(config: RunConfig, again: bool) -> tuple[RunConfig, PretrainingModel]:
    """The run and its model, with blocks that are computed again or not."""
    model = build(config)
    if again:
        recompute_blocks(model)
    return replace(config, training=replace(config.training, recompute=again)), model


def packing(config: RunConfig, packed: bool) -> RunConfig:
    return replace(config, training=replace(config.training, pack_views=packed))


def fill(model: nn.Module) -> None:
    """Weights that have shapes but no numbers, within FakeTensorMode."""
    state = {name: torch.empty(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Tensors have shapes alone; attention is its plain products."""
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
        yield


def run_step(
    config: RunConfig,
    model: PretrainingModel,
    backward: Callable[[Tensor], None],
    autocast: Callable = nullcontext,
) -> None:
    """A step of the objective, as the training loop takes it."""
    fill(model)
    of_each, together = config.training.views_of_each(BATCH), config.training.pack_views
    step(model, views_of(config), backward, autocast, of_each, pack_views=together)


def counter() -> FlopCounterMode:
    """torch's, which overlooks products that are added in place."""

    def added(_into, left, right, **_) -> int:
        return 2 * left[0] * left[1] * right[1]

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added})


WAYS = {
    "in turn": (False, False),
    "packed and computed again": (True, True),
    "packed": (True, False),
    "computed again": (False, True),
}
"""Whether views are packed, and whether blocks are computed again."""


def in_ways(names: Iterable[str], in_all: tuple[str, ...]) -> list[tuple[str, str]]:
    """Runs and ways: every way of some runs, and of the others the first two."""
    return [(name, way) for name in names for way in list(WAYS)[: None if name in in_all else 2]]


@pytest.mark.parametrize(("name", "way"), in_ways(RUNS, in_all=("global", "slots")))
def test_flop_of_a_training_step(name: str, way: str) -> None:
    """With fewer blocks, which are all alike."""
    packed, again = WAYS[way]
    run = packing(RUNS[name], packed)
    decoder = replace(run.model.decoder, depth=2)
    config, model = recomputed(
        replace(run, model=replace(run.model, depth=3, decoder=decoder)), again
    )
    with without_numbers(), counter() as count:
        run_step(config, model, Tensor.backward)
    assert count.get_total_flops() / BATCH == pytest.approx(training_flops(config).total, rel=0.005)


def test_flop_of_encoding_and_of_the_tokenizer() -> None:
    config, model = b16(), build(b16())
    with without_numbers(), torch.no_grad():
        fill(model)
        images = torch.rand(1, 3, 224, 224)
        with counter() as encoding:
            model.encode(images)
        with counter() as coding:
            model.codes(images)
    assert encoding.get_total_flops() == encoding_flops(config.model)
    assert coding.get_total_flops() == 196 * TOKENIZER_FLOP
    assert sum(p.numel() for p in VQGAN(VQGANConfig()).parameters()) == TOKENIZER_WEIGHTS


def test_the_budget_that_was_counted_by_hand() -> None:
    """GFLOP of an image at B/16, everything computed, then with what no loss reads left out."""
    model, flops = b16().model, training_flops(b16())
    whole = [n * _encoder(model, patches, None, 3) / 1e9 for n, patches in ((8, 39), (8, 36))]
    assert flops.full / 1e9 == pytest.approx(115, rel=0.01)
    assert whole == [pytest.approx(235, rel=0.02), pytest.approx(220, rel=0.02)]
    assert flops.decoder / 1e9 == pytest.approx(25, rel=0.02)
    assert flops.tokenizer / 1e9 == pytest.approx(99, rel=0.01)
    assert flops.total / 1e9 == pytest.approx(671, rel=0.01)


def test_attention_is_quadratic_and_the_rest_linear() -> None:
    small, large = (_block(_Block(64, 256), tokens, tokens) for tokens in (100, 200))
    assert large - 2 * small == 2 * 4 * 100**2 * 64


@pytest.mark.parametrize("name", RUNS)
def test_number_of_parameters(name: str) -> None:
    model = build(RUNS[name])
    learning = [p for p in model.parameters() if p.requires_grad]
    assert num_parameters(RUNS[name]) == sum(p.numel() for p in learning)
    others = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in learning)
    memory = training_memory(RUNS[name], batch=1)
    assert memory.weights - memory.gradients == pytest.approx(4 * others, rel=0.02)
    taught = 0 if model.teacher is None else sum(p.numel() for p in model.teacher.parameters())
    checkpoint = plan(RUNS[name], 1000, Machines()).checkpoint
    assert checkpoint == 12 * num_parameters(RUNS[name]) + 4 * taught


class Kept:
    """Storages that autograd keeps for the backward pass, beside the weights."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.storages: dict[int, Tensor] = {}
        self.groups: list[int] = []

    def keep(self, tensor: Tensor) -> Tensor:
        self.storages[storage(tensor)] = tensor
        return tensor

    def backward(self, loss: Tensor) -> None:
        own = {storage(parameter) for parameter in self.model.parameters()}
        kept = [t for number, t in self.storages.items() if number not in own]
        self.groups.append(sum(tensor.untyped_storage().nbytes() for tensor in kept))
        loss.backward()
        self.storages.clear()


def storage(tensor: Tensor) -> int:
    """What tells it from others."""
    return tensor.untyped_storage()._cdata


@pytest.mark.parametrize(
    ("name", "number"), [("tiny", 4), ("b16", 2), ("dinov3", 4)], ids=["fp32", "bf16", "dinov3"]
)
def test_bytes_kept_for_the_backward_pass(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group of views, within a fifth, and the largest is the one that counts."""
    monkeypatch.setattr(transformer, "LONGEST_PLAIN", 0)  # on a CPU too, no scores are kept
    config, model = RUNS[name], build(RUNS[name])
    kept = Kept(model)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16) if number == 2 else nullcontext
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor),
    ):
        run_step(config, model, kept.backward, autocast)
    memory = training_memory(config, BATCH, number=number)
    assert memory.activations + memory.copies == pytest.approx(max(kept.groups), rel=0.2)
    masked = kept.groups[1] - (memory.copies if number == 2 else 0)
    assert BATCH * kept_bytes(config, BATCH, number)["masked"] == pytest.approx(masked, rel=0.2)


class Alive(TorchDispatchMode):
    """Bytes of all tensors that were made within and are still there: the most at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and storage(tensor) not in self.known:
                held, number = tensor.untyped_storage(), storage(tensor)
                self.known.add(number)
                self.now += held.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(held, self.forget, number, held.nbytes())
        return result

    def forget(self, number: int, size: int) -> None:
        self.known.discard(number)
        self.now -= size


@pytest.mark.parametrize(("name", "way"), in_ways(("tiny", "b16", "dinov3"), in_all=("tiny",)))
def test_memory_of_a_step_at_its_peak(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 128 images, so that nothing beside activations is large; not even the tokenizer. B/16 in
    bf16, with half of its blocks, which are all alike.
    """
    (packed, again), number = WAYS[way], 2 if name == "b16" else 4
    monkeypatch.setattr(transformer, "LONGEST_PLAIN", 0)
    run = packing(RUNS[name], packed)
    if name == "b16":
        run = replace(run, model=replace(run.model, depth=6))
    config, model = recomputed(run, again)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16) if number == 2 else nullcontext
    of_each = config.training.views_of_each(128)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fill(model)
        views = views_of(config, 128)
        with Alive() as alive:
            step(model, views, Tensor.backward, autocast, of_each, pack_views=packed)
    memory = training_memory(config, 128, number=number)
    assert alive.peak == pytest.approx(memory.activations + memory.copies, rel=0.25)


def test_a_plan_adds_up() -> None:
    config = b16()
    one, many = (plan(config, 1_280_000, Machines(gpus, 400e12)) for gpus in (1, 16))
    assert one.steps == many.steps == 150 * 1_280_000 / 2048
    assert (
        one.gpu_hours == many.gpu_hours == pytest.approx(1.92e8 * 671e9 / 400e12 / 3600, rel=0.01)
    )
    assert many.images_per_second == 16 * one.images_per_second
    assert one.exchange == 0
    assert many.exchange == pytest.approx(2 * 15 / 16 * 4 * num_parameters(config))
    assert one.memory.activations == 16 * many.memory.activations
    assert many.embedding == 2 * (768 + 16 * (768 + 196))


def test_a_split_state_takes_less_memory_and_more_network() -> None:
    config = h16()
    fsdp = replace(config, training=replace(config.training, parallel="fsdp"))
    whole, split = (plan(each, 1000, Machines(16, 400e12)) for each in (config, fsdp))
    assert split.memory.moments == pytest.approx(whole.memory.moments / 16, rel=0.5)
    assert split.memory.activations == whole.memory.activations
    assert split.exchange > whole.exchange


def test_the_precision_is_that_of_the_run() -> None:
    config = b16()
    fp32 = replace(config, training=replace(config.training, precision="fp32"))
    in_bf16, in_fp32 = (plan(each, 1000, Machines()).memory for each in (config, fp32))
    assert in_fp32.activations == pytest.approx(1.7 * in_bf16.activations, rel=0.1)
    assert in_fp32.copies == 0 < in_bf16.copies


@pytest.mark.parametrize("run", [tiny(), dino(demo()), mae(demo()), RUNS["global"]])
def test_what_split_weights_send_is_what_the_step_runs(run: RunConfig) -> None:
    """Gathered for each forward and each backward pass, which a teacher has not."""
    training = replace(run.training, parallel="fsdp", batch_size=2 * BATCH, views_at_once=BATCH)
    config = replace(run, training=replace(training, precision="fp32"))
    model, sent = build(config), []
    stacks = [model.encoder, model.decoder] + ([model.teacher.encoder] if model.teacher else [])
    sizes = [sum(p.numel() for p in stack.parameters()) for stack in stacks]

    def gather(size: int, *_) -> None:
        sent.append(size * (4 + 8 * torch.is_grad_enabled()))

    for stack, size in zip(stacks, sizes, strict=True):
        stack.blocks[0].register_forward_hook(partial(gather, size))
    with without_numbers():
        run_step(config, model, Tensor.backward)
    whole = 8 * (num_parameters(config) - sum(sizes[:2]))
    assert plan(config, 1000, Machines(gpus=2)).exchange == (sum(sent) + whole) / 2


def test_terms_that_are_off_cost_nothing() -> None:
    config = b16()
    off = replace(config, objective=replace(config.objective, reconstruction_weight=0.0))
    assert training_flops(off).decoder == training_flops(off).tokenizer == 0
    off = replace(config, objective=replace(config.objective, cls_local_weight=0.0))
    assert training_flops(off).local == 0
    assert kept_bytes(off, BATCH, 2)["local"] == 0
