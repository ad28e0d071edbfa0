"""The identity that makes the heads cheap: loss and gradients are those of the plain formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stellar.objective import prototypes
from stellar.objective.prototypes import PrototypeHead, assign, cross_entropy, mean_prototype

TAU = 0.12


def plain_loss(x: Tensor, q: Tensor, weight: Tensor, rows: Tensor) -> Tensor:
    """- mean over rows of sum_j q_j log p_j, everything materialised."""
    log_p = F.log_softmax(x @ weight.T / TAU, dim=1)
    return -(q[rows] * log_p).sum(dim=1).mean()


@pytest.mark.parametrize("chunk", [1, 100, 1 << 22])
def test_loss_and_gradients_are_exact(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototypes, "CHUNK_ELEMENTS", chunk)
    project = torch.nn.Linear(6, 5).double()
    weight = torch.randn(30, 5).double().requires_grad_()
    full, other = torch.randn(7, 6).double(), torch.randn(11, 6).double()
    rows = torch.randint(0, 7, (11,))
    learning = [weight, *project.parameters()]

    target = assign(project(full), weight, 0.06, 3, 1.0)
    q = target.potentials.assignment(target.features @ weight.detach().T)
    plain = plain_loss(project(other), q, weight, rows)
    expected = torch.autograd.grad(plain, learning)

    mean = mean_prototype(weight, target).index_select(0, rows)
    loss = cross_entropy(project(other), mean, weight, TAU)
    actual = torch.autograd.grad(2 * loss, learning)

    torch.testing.assert_close(loss, plain, rtol=1e-6, atol=0)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, 2 * theirs, rtol=1e-6, atol=1e-9)


def test_targets_carry_no_gradient_to_the_features_they_came_from() -> None:
    head, full = PrototypeHead(6, 8, 5, 30), torch.randn(7, 6, requires_grad=True)
    target = assign(head(full), head.prototypes, 0.06, 3, 1.0)
    mean_prototype(head.prototypes, target).sum().backward()
    assert full.grad is None
    assert head.prototypes.grad is not None


def test_a_teachers_targets_meet_the_students_prototypes() -> None:
    """q comes from the teacher's features and prototypes, t = q W from the student's W."""
    teacher, student = PrototypeHead(6, 8, 5, 30), PrototypeHead(6, 8, 5, 30)
    target = assign(teacher(torch.randn(7, 6)), teacher.prototypes, 0.06, 3, 1.0)
    q = target.potentials.assignment(target.features @ teacher.prototypes.detach().T)
    torch.testing.assert_close(mean_prototype(student.prototypes, target), q @ student.prototypes)


def test_nothing_of_size_rows_times_prototypes_is_kept() -> None:
    """The largest tensor saved for the backward pass is that of the prototypes themselves."""
    rows, count, dim = 64, 4096, 8
    head, tokens = PrototypeHead(16, 8, dim, count), torch.randn(rows, 16)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel()) or t, lambda t: t
    ):
        x = head(tokens)
        target = assign(x, head.prototypes, 0.06, 3, 1.0)
        loss = cross_entropy(x, mean_prototype(head.prototypes, target), head.prototypes, TAU)
    held = [target.features, target.prototypes, target.potentials.row, target.potentials.column]
    assert max(sizes + [t.numel() for t in held]) <= count * dim < rows * count
    loss.backward()


def test_features_are_unit_vectors_in_full_precision() -> None:
    head = PrototypeHead(6, 8, 5, 30)
    with torch.autocast("cpu", torch.bfloat16):
        features = head(torch.randn(2, 3, 6))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(6))
