"""The step: its terms, groups of views in turn, targets without gradient, the teacher."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stellar.config import ModelConfig, ObjectiveConfig
from stellar.model.encoder import Encoder, Tokens
from stellar.objective import Losses, PretrainingModel, StepResult, Views, step

TERMS = tuple(Losses.__dataclass_fields__)


@pytest.fixture
def small_objective(small_objective: ObjectiveConfig) -> ObjectiveConfig:
    """Every term that there is."""
    return replace(small_objective, masked_reconstruction_weight=10.0)


def views(masked: int = 2, local: int = 2, images: int = 3) -> Views:
    generator = torch.Generator().manual_seed(1)

    def rand(count: int, size: int) -> Tensor:
        return torch.rand(count, 3, size, size, generator=generator)

    keep = torch.rand(images * masked, 16, generator=generator).argsort(dim=1)[:, :8]
    return Views(
        rand(images, 16), rand(images * masked, 16), keep, rand(images * local, 8), rand(images, 16)
    )


def backward(loss: Tensor) -> None:
    loss.backward()


def gradients(model: PretrainingModel) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def without(objective: ObjectiveConfig, *terms: str) -> ObjectiveConfig:
    return replace(objective, **{f"{term}_weight": 0.0 for term in terms})


def test_all_terms_are_there(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    model = PretrainingModel(small, small_objective)
    result = step(model, views(), backward)
    assert {name for name, _ in result.losses.present()} == set(TERMS)
    assert torch.isfinite(result.total)
    assert not result.total.requires_grad
    weighted = sum(v * model.weights[n] for n, v in result.losses.present())
    torch.testing.assert_close(result.total, weighted)


def test_every_parameter_learns(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    """No unused parameters: data-parallel training needs no search for them."""
    model = PretrainingModel(small, small_objective)
    step(model, views(), backward)
    assert gradients(model).keys() == dict(model.named_parameters()).keys()


def test_each_group_has_a_backward_pass_of_its_own(
    small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """`test_plain_step.py` compares their sum with a single one."""
    model = PretrainingModel(small, small_objective)
    calls: list[float] = []
    result = step(model, views(), lambda loss: calls.append(loss.item()) or loss.backward())
    assert len(calls) == 3
    assert sum(calls) == pytest.approx(result.total.item())


@pytest.mark.parametrize("at_once", [1, 2, 5, 9])
def test_views_in_portions_equal_all_together(
    small: ModelConfig, small_objective: ObjectiveConfig, at_once: int
) -> None:
    """Portions of unequal size, of views and of the patches they keep, count by their share."""
    model = PretrainingModel(small, small_objective)
    batch = views(masked=5, local=3)
    together = step(model, batch, backward)
    expected = gradients(model)
    model.zero_grad()
    in_portions = step(model, batch, backward, views_of_each=at_once)
    for name, value in together.losses.present():
        torch.testing.assert_close(getattr(in_portions.losses, name), value)
    torch.testing.assert_close(in_portions.total, together.total)
    for name, gradient in gradients(model).items():
        assert (gradient - expected[name]).norm() <= 1e-4 * expected[name].norm(), name


def test_no_more_views_are_encoded_together_than_allowed(
    small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    model = PretrainingModel(small, small_objective)
    sizes: list[int] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    step(model, views(masked=5, local=3), backward, views_of_each=2)
    assert sizes == [3, 6, 6, 3, 6, 3]


@pytest.mark.parametrize("term", TERMS)
def test_each_term_can_be_removed_alone(
    small: ModelConfig, small_objective: ObjectiveConfig, term: str
) -> None:
    torch.manual_seed(0)
    full = PretrainingModel(small, small_objective)
    torch.manual_seed(0)
    reduced = PretrainingModel(small, without(small_objective, term))
    expected = dict(step(full, views(), backward).losses.present())
    actual = dict(step(reduced, views(), backward).losses.present())
    assert actual.keys() == expected.keys() - {term}
    for name, value in actual.items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("term", TERMS)
def test_each_term_works_alone(
    small: ModelConfig, small_objective: ObjectiveConfig, term: str
) -> None:
    others = [name for name in TERMS if name != term]
    model = PretrainingModel(small, without(small_objective, *others))
    result = step(model, views(), backward)
    assert [name for name, _ in result.losses.present()] == [term]
    assert gradients(model)


@pytest.mark.parametrize(("masked", "local"), [(0, 2), (2, 0), (0, 0), (1, 1)])
def test_any_number_of_views(
    small: ModelConfig, small_objective: ObjectiveConfig, masked: int, local: int
) -> None:
    result = step(PretrainingModel(small, small_objective), views(masked, local), backward)
    names = {name for name, _ in result.losses.present()}
    assert ("set_alignment" in names) == ("cls_masked" in names) == (masked > 0)
    assert ("cls_local" in names) == (local > 0)


def test_masking_switched_off(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    model = PretrainingModel(small, without(small_objective, "masked_reconstruction"))
    everything = replace(views(), keep=torch.arange(16).expand(6, -1))
    expected = step(model, everything, backward).total
    torch.testing.assert_close(step(model, replace(views(), keep=None), backward).total, expected)


def test_alignment_sends_no_gradient_through_its_target(
    small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """With alignment alone, the gradient is that of the masked views: the full view's image does
    not matter to it.
    """
    others = [name for name in TERMS if name != "cls_local"]
    model = PretrainingModel(small, without(small_objective, *others))
    full = views().full.clone().requires_grad_()
    local = views().local.clone().requires_grad_()
    step(model, replace(views(), full=full, local=local), backward)
    assert full.grad is None
    assert local.grad is not None


def test_a_batch_of_one(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    result = step(PretrainingModel(small, small_objective), views(images=1), backward)
    assert torch.isfinite(result.total)


def test_bf16_stays_near(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    model = PretrainingModel(small, small_objective)
    exact = step(model, views(), backward)
    expected = gradients(model)
    model.zero_grad()
    half = step(model, views(), backward, lambda: torch.autocast("cpu", torch.bfloat16))
    torch.testing.assert_close(half.total, exact.total, rtol=0.02, atol=0)
    flat = [torch.cat([g[n].flatten() for n in expected]) for g in (expected, gradients(model))]
    assert torch.cosine_similarity(*flat, dim=0) > 0.98


def test_masked_reconstruction_is_the_error_of_the_hidden_patches(
    small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """Written down image by image: kept patches and mask tokens go into the decoder, and what is
    drawn at the hidden patches is compared.
    """
    model = PretrainingModel(small, small_objective)
    batch = views(masked=1)
    found = step(model, batch, backward).losses.masked_reconstruction
    assert batch.keep is not None
    errors = []
    for image, keep in zip(batch.masked, batch.keep, strict=True):
        tokens = model.get_parameter("mask_token").expand(1, 16, -1).clone()
        tokens[0, keep] = model.encoder(image[None], keep[None]).dense[0]
        drawn = model.decoder(tokens, (4, 4))[0]
        for patch in set(range(16)) - set(keep.tolist()):
            y, x = 4 * (patch // 4), 4 * (patch % 4)
            part = (slice(None), slice(y, y + 4), slice(x, x + 4))
            errors.append((drawn[part] - image[part]).square().mean())
    torch.testing.assert_close(found, torch.stack(errors).mean().detach())


def test_no_kept_patch_is_drawn_again(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    """What a masked view keeps changes its features, but is not itself a target."""
    others = [name for name in TERMS if name != "masked_reconstruction"]
    model = PretrainingModel(small, without(small_objective, *others))
    model.decoder.register_forward_hook(lambda *_: torch.zeros(6, 3, 16, 16, requires_grad=True))
    batch = views()
    assert batch.keep is not None
    masked = batch.masked.clone()
    first = batch.keep[:, 0]
    for image, patch in zip(masked, first.tolist(), strict=True):
        y, x = 4 * (patch // 4), 4 * (patch % 4)
        image[:, y : y + 4, x : x + 4] = 1.0
    losses = [
        step(model, replace(batch, masked=m), backward).losses for m in (batch.masked, masked)
    ]
    assert losses[0].masked_reconstruction == losses[1].masked_reconstruction


class TestTeacher:
    @pytest.fixture
    def model(self, small: ModelConfig, small_objective: ObjectiveConfig) -> PretrainingModel:
        return PretrainingModel(small, replace(small_objective, teacher="constant"))

    def test_it_starts_as_the_student_and_never_learns(self, model: PretrainingModel) -> None:
        assert model.teacher is not None
        for name, parameter in model.teacher.named_parameters():
            assert torch.equal(parameter, model.get_parameter(name))
        step(model, views(), backward)
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_its_view_decides_the_targets(self, model: PretrainingModel) -> None:
        first: StepResult = step(model, views(), backward)
        other = step(model, replace(views(), second=torch.rand(3, 3, 16, 16)), backward)
        assert not torch.allclose(first.targets.sparse, other.targets.sparse)
        assert first.losses.cls_clustering != other.losses.cls_clustering
        torch.testing.assert_close(first.factors.sparse, other.factors.sparse)
        assert first.losses.reconstruction == other.losses.reconstruction

    @pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
    def test_update_is_an_exponential_average(
        self, model: PretrainingModel, momentum: float
    ) -> None:
        assert model.teacher is not None
        before = {n: p.clone() for n, p in model.teacher.named_parameters()}
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter += 1
        model.teacher.update(model, momentum)
        for name, parameter in model.teacher.named_parameters():
            student = model.get_parameter(name)
            expected = momentum * before[name] + (1 - momentum) * student
            torch.testing.assert_close(parameter, expected)
            assert torch.equal(parameter, before[name].lerp(student, 1 - momentum))


class TestGlobalAlignment:
    @pytest.fixture(params=["matched", "published"])
    def model(
        self, small: ModelConfig, small_objective: ObjectiveConfig, request: pytest.FixtureRequest
    ) -> PretrainingModel:
        return PretrainingModel(small, replace(small_objective, global_alignment=request.param))

    @pytest.fixture
    def by_itself(self, model: PretrainingModel) -> PretrainingModel:
        """The same weights under the paper's objective."""
        other = copy.deepcopy(model)
        other.objective = replace(model.objective, global_alignment="off")
        return other

    def test_only_clustering_changes(
        self, model: PretrainingModel, by_itself: PretrainingModel
    ) -> None:
        losses = dict(step(model, views(), backward).losses.present())
        plain = dict(step(by_itself, views(), backward).losses.present())
        assert losses.keys() == plain.keys()
        changed = {name for name in losses if losses[name] != plain[name]}
        assert changed == {"token_clustering", "cls_clustering"}

    def test_the_second_view_learns_in_a_backward_pass_of_its_own(
        self, model: PretrainingModel
    ) -> None:
        batch = views()
        assert batch.second is not None
        batch.second.requires_grad_()
        calls: list[float] = []
        result = step(model, batch, lambda loss: calls.append(loss.item()) or loss.backward())
        assert len(calls) == 4
        assert sum(calls) == pytest.approx(result.total.item())
        assert batch.second.grad is not None
        assert batch.second.grad.abs().sum() > 0
        assert gradients(model).keys() == dict(model.named_parameters()).keys()

    def test_without_tokens_cls_alone_is_aligned(
        self, small: ModelConfig, small_objective: ObjectiveConfig, model: PretrainingModel
    ) -> None:
        objective = replace(
            without(small_objective, "token_clustering", "set_alignment", "koleo"),
            global_alignment=model.objective.global_alignment,
        )
        other = PretrainingModel(replace(small, num_sparse_tokens=0), objective)
        losses = step(other, views(), backward).losses
        assert losses.token_clustering is None
        assert losses.cls_clustering is not None

    def test_a_view_and_itself_are_what_one_view_is_alone(
        self, model: PretrainingModel, by_itself: PretrainingModel
    ) -> None:
        """A token is matched to itself, and both halves are the term of the view alone."""
        batch = replace(views(), second=views().full)
        losses = step(model, batch, backward).losses
        plain = step(by_itself, batch, backward).losses
        torch.testing.assert_close(losses.token_clustering, plain.token_clustering)
        torch.testing.assert_close(losses.cls_clustering, plain.cls_clustering)

    def test_the_order_of_tokens_in_the_second_view_does_not_matter(
        self, model: PretrainingModel
    ) -> None:
        """The right matching sees through it; the published one reads the wrong rows."""
        order = torch.tensor([2, 0, 1, *range(3, model.config.num_sparse_tokens)])
        batch = replace(views(), second=views().full)
        terms = [step(model, batch, backward).losses.token_clustering]

        def turn(_encoder: Encoder, given: tuple, tokens: Tokens) -> Tokens:
            second = given[0] is batch.second
            return replace(tokens, sparse=tokens.sparse[:, order]) if second else tokens

        model.encoder.register_forward_hook(turn)
        terms.append(step(model, batch, backward).losses.token_clustering)
        assert terms[0] is not None
        assert terms[1] is not None
        right = model.objective.global_alignment == "matched"
        assert torch.isclose(terms[0], terms[1]) == right
