"""The attentive probe: the attention of everybody, each rate as it would be alone, and what a mean
over patches cannot see.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stellar.evaluation.probes.attentive import (
    BETAS,
    LEARNING_RATES,
    WEIGHT_DECAY,
    AttentiveProbes,
    attentive_probe,
    num_heads,
    start,
    train_probes,
)
from stellar.evaluation.probes.linear import linear_probe

CPU = torch.device("cpu")


def random_probes(count: int, width: int, classes: int) -> AttentiveProbes:
    shapes = vars(start(width, classes, 1, torch.Generator())[0])
    return AttentiveProbes(*(torch.randn(count, *t.shape[1:]) for t in shapes.values()))


def plain_logits(probe: AttentiveProbes, x: Tensor) -> Tensor:
    """By torch's own attention, from the numbers of one probe."""
    width, heads = x.shape[2], probe.query.shape[1]
    attention = nn.MultiheadAttention(width, heads, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(
            torch.cat([torch.eye(width), probe.key[0].flatten(0, 1), probe.value[0].flatten(0, 1)])
        )
        no_bias = torch.zeros(width)
        # The bias of the keys, which softmax does not feel, is any number.
        attention.in_proj_bias.copy_(
            torch.cat([no_bias, torch.randn(width), probe.value_bias[0].flatten()])
        )
        attention.out_proj.weight.copy_(torch.eye(width))
        attention.out_proj.bias.zero_()
    query = probe.query[0].flatten().expand(len(x), 1, width)
    return F.linear(attention(query, x, x)[0][:, 0], probe.weight[0], probe.bias[0])


@pytest.mark.parametrize("width", [24, 128, 192])
def test_forward_is_torchs_attention_and_a_linear_layer(width: int) -> None:
    probes, x = random_probes(3, width, 5), torch.randn(4, 7, width)
    found = probes.logits(x)
    for index in range(3):
        expected = plain_logits(probes.only(index), x)
        torch.testing.assert_close(found[:, index], expected, atol=1e-3, rtol=1e-4)


def test_heads_have_64_channels_where_they_can() -> None:
    assert [num_heads(width) for width in (768, 1024, 1280)] == [12, 16, 20]
    assert [num_heads(width) for width in (24, 64, 100, 130)] == [1, 1, 1, 2]


def test_every_probe_is_what_it_would_be_alone() -> None:
    x, labels = torch.randn(60, 6, 24), torch.randint(4, (60,))
    batches, rates = torch.arange(60).repeat(3).split(20), (1e-3, 1e-1)
    found = train_probes(x, labels, batches, 4, CPU, rates, torch.Generator().manual_seed(1))
    for index, rate in enumerate(rates):
        (probe,) = start(24, 4, 1, torch.Generator().manual_seed(1))
        tensors = [tensor.requires_grad_() for tensor in vars(probe).values()]
        biases = (probe.value_bias, probe.bias)
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": [t],
                    "weight_decay": 0.0 if any(t is b for b in biases) else WEIGHT_DECAY,
                }
                for t in tensors
            ],
            betas=BETAS,
        )
        for step, batch in enumerate(batches):
            share = 1.0 if step < 1 else (1 + math.cos(math.pi * (step - 1) / 8)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            loss = F.cross_entropy(probe.logits(x[batch])[:, 0], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for ours, alone in zip(vars(found.only(index)).values(), tensors, strict=True):
            torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-3)


def marked(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures of 8 patches; one, wherever it lies, is marked and holds the class. The others hold
    classes too, so many that all classes are as frequent in every picture.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    x = torch.zeros(count, 8, 24)
    for row, label in enumerate(labels.tolist()):
        classes = [label, *(c for c in range(4) if c != label), *range(4)]
        x[row, torch.arange(8), torch.tensor(classes)] = 3
        x[row, 0, 4] = 3
        x[row] = x[row, torch.randperm(8, generator=generator)]
    return x + 0.05 * torch.randn(x.shape, generator=generator), labels


def test_attention_finds_what_a_mean_over_patches_hides() -> None:
    (train, labels), (test, truth) = marked(600, 1), marked(200, 2)
    found = attentive_probe(train, labels, test, truth, 4, CPU, epochs=60)
    mean = linear_probe({"U": train.mean(1)}, labels, {"U": test.mean(1)}, truth, 4, epochs=60)
    assert found.accuracy > 0.95
    assert mean.accuracies[0] < 0.5
    assert found.learning_rate in LEARNING_RATES


def test_a_seed_decides_everything() -> None:
    x, labels = torch.randn(200, 5, 24), torch.randint(4, (200,))
    x[torch.arange(200), 0, labels] += 1
    found = []
    for seed in (0, 0, 1):
        torch.rand(seed + 3)  # whatever was drawn before
        generator = torch.Generator().manual_seed(seed)
        found.append(train_probes(x, labels, x.new_zeros(200).long().split(50), 4, CPU, (1e-2,),
                                  generator))  # fmt: skip
    assert torch.equal(found[0].weight, found[1].weight)
    assert not torch.equal(found[0].weight, found[2].weight)
    results = [attentive_probe(x, labels, x, labels, 4, CPU, (1e-2,), 2, seed=0) for _ in range(2)]
    assert results[0] == results[1]


def test_the_test_pictures_choose_nothing() -> None:
    x, labels = marked(200, 1)
    right, wrong = (
        attentive_probe(x, labels, x, truth, 4, CPU, epochs=3) for truth in (labels, labels * 0)
    )
    assert right.learning_rate == wrong.learning_rate


def test_several_classes_are_judged_by_mean_average_precision() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.rand(300, 4, generator=generator) < 0.4
    x = 0.1 * torch.randn(300, 6, 24, generator=generator)
    x[:, 2, :4] += labels.float()
    half = x.half()
    found = attentive_probe(half[:200], labels[:200], half[200:], labels[200:], 4, CPU, epochs=30)
    assert found.accuracy > 0.9
