"""All groups of views in one pass: the losses and gradients of one group after the other, whatever
the objective is.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stellar.config import ModelConfig, ObjectiveConfig, RunConfig, ViewConfig
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import Losses, PretrainingModel, StepResult, Views, step
from stellar.study.systems import dense, dino, mae
from stellar.training.computation import recompute_blocks

TERMS = tuple(Losses.__dataclass_fields__)
VQGAN_SIZES = VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1, num_codes=64)


@pytest.fixture
def objective(small_objective: ObjectiveConfig) -> ObjectiveConfig:
    """Every term that there is, and noise on L."""
    return replace(small_objective, masked_reconstruction_weight=10.0, spatial_noise=0.5)


def views(masked: int = 2, local: int = 3, images: int = 3) -> Views:
    keep = torch.rand(images * masked, 16).argsort(dim=1)[:, :7]
    full, hidden, crops, second = (
        torch.rand(count, 3, size, size)
        for count, size in ((images, 16), (images * masked, 16), (images * local, 8), (images, 16))
    )
    return Views(full, hidden, keep, crops, second)


def learned(
    model: PretrainingModel, batch: Views, pack_views: bool
) -> tuple[StepResult, dict[str, Tensor], int]:
    """Result and gradients of a step, and how often it went back."""
    calls: list[None] = []
    model.zero_grad()
    result = step(
        model,
        batch,
        lambda loss: calls.append(loss.backward()),
        generator=torch.Generator().manual_seed(0),
        pack_views=pack_views,
    )
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return result, gradients, len(calls)


def assert_same(model: PretrainingModel, batch: Views) -> None:
    """Losses to 1e-5 and gradients to 1e-4, relative; and one backward pass, if there is any."""
    result, gradients, calls = learned(model, batch, pack_views=True)
    expected, theirs, several = learned(model, batch, pack_views=False)
    assert calls == min(several, 1)
    found, wanted = dict(result.losses.present()), dict(expected.losses.present())
    assert found.keys() == wanted.keys()
    for name, value in (*wanted.items(), ("total", expected.total)):
        actual = result.total if name == "total" else found[name]
        torch.testing.assert_close(actual, value, rtol=1e-5, atol=1e-7, msg=name)
    torch.testing.assert_close(result.factors.dense, expected.factors.dense)
    assert gradients.keys() == theirs.keys()
    # Attention is blind to the keys' biases: their gradient is rounding alone.
    scale = 1e-3 * torch.stack([g.norm() for g in theirs.values()]).norm() if theirs else 0.0
    for name, gradient in theirs.items():
        away = (gradients[name] - gradient).norm()
        assert away <= 1e-4 * max(gradient.norm(), scale), name


@pytest.mark.parametrize("masked", [0, 1, 2])
@pytest.mark.parametrize("local", [0, 1, 3])
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_views(
    small: ModelConfig, objective: ObjectiveConfig, masked: int, local: int, images: int
) -> None:
    assert_same(PretrainingModel(small, objective), views(masked, local, images))


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("alone", [False, True], ids=["removed", "alone"])
def test_each_term(small: ModelConfig, objective: ObjectiveConfig, term: str, alone: bool) -> None:
    off = [name for name in TERMS if (name != term) == alone]
    objective = replace(objective, **{f"{name}_weight": 0.0 for name in off})
    assert_same(PretrainingModel(small, objective), views())


@pytest.mark.parametrize("term", ["cls_local", "set_alignment"])
def test_a_term_without_views(small: ModelConfig, objective: ObjectiveConfig, term: str) -> None:
    """Nothing learns, and nothing goes back."""
    off = {f"{name}_weight": 0.0 for name in TERMS if name != term}
    assert_same(PretrainingModel(small, replace(objective, **off)), views(masked=0, local=0))


def test_views_that_keep_every_patch(small: ModelConfig, objective: ObjectiveConfig) -> None:
    objective = replace(objective, masked_reconstruction_weight=0.0)
    assert_same(PretrainingModel(small, objective), replace(views(), keep=None))


def test_rotary_positions(small: ModelConfig, objective: ObjectiveConfig) -> None:
    """Each image's own, of views of several sizes and with patches of their own."""
    sizes = replace(small, rope_theta=100.0, gated_mlp=True, num_registers=2, layer_scale=True)
    assert_same(PretrainingModel(sizes, objective), views())


def test_with_a_teacher(small: ModelConfig, objective: ObjectiveConfig) -> None:
    assert_same(PretrainingModel(small, replace(objective, teacher="constant")), views())


@pytest.mark.parametrize("terms", ["both", "token_clustering", "cls_clustering"])
def test_two_whole_views(small: ModelConfig, objective: ObjectiveConfig, terms: str) -> None:
    both = ("token_clustering", "cls_clustering")
    off = {f"{name}_weight": 0.0 for name in both if terms not in (name, "both")}
    objective = replace(objective, global_alignment="matched", **off)
    assert_same(PretrainingModel(small, objective), views())


def test_codes(small: ModelConfig, objective: ObjectiveConfig) -> None:
    decoder = replace(small.decoder, target="codes", num_codes=VQGAN_SIZES.num_codes)
    tokenizer = VQGAN(VQGAN_SIZES)
    assert_same(PretrainingModel(replace(small, decoder=decoder), objective, tokenizer), views())


@pytest.mark.parametrize("system", [dense, dino, mae])
def test_what_stellar_is_compared_with(
    small: ModelConfig, small_objective: ObjectiveConfig, system
) -> None:
    """Models without tokens: through a bottleneck, with cls alone, and drawn again alone."""
    sizes = ViewConfig(local_size=8, masking_ratio=0.5)
    run = system(RunConfig(model=small, objective=small_objective, views=sizes))
    assert_same(PretrainingModel(run.model, run.objective), views())


def test_blocks_computed_again(small: ModelConfig, objective: ObjectiveConfig) -> None:
    model = PretrainingModel(small, objective)
    recompute_blocks(model)
    assert_same(model, views())


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (("reconstruction", "cls_local"), [3 * 20 + 9 * 8, 3 * 20, 9]),
        (("cls_local",), [9 * 8, 9, 3 * 20, 3 * 20]),
        (("cls_masked",), [6 * 11, 6 * 4, 3 * 20, 3 * 20]),
    ],
    ids=["no masked views", "no gradient of the full view", "masked views alone"],
)
def test_only_what_a_term_reads_is_packed(
    small: ModelConfig,
    small_objective: ObjectiveConfig,
    terms: tuple[str, ...],
    expected: list[int],
) -> None:
    """Tokens that go through the MLP of the first block, and of the last one. A full view that
    nothing is learned from is encoded by itself, without gradient.
    """
    off = {f"{name}_weight": 0.0 for name in TERMS if name not in terms}
    model, rows = PretrainingModel(small, replace(small_objective, **off)), list[int]()
    for block in model.encoder.blocks:
        block.get_submodule("mlp").register_forward_pre_hook(
            lambda _, given: rows.append(given[0].shape[:-1].numel())
        )
    learned(model, views(), pack_views=True)
    assert rows == expected
