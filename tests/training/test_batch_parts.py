"""The parts of a step's batch: what is in them, and the second whole view."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from stellar.config import RunConfig
from stellar.data import MultiView, Scenes
from stellar.processes.launch import Ranks
from stellar.training.batch_parts import batch_parts, views_on

CPU = torch.device("cpu")


def test_parts_are_those_of_the_steps_in_order_and_share_the_mean(config: RunConfig) -> None:
    config = replace(config, training=replace(config.training, batch_size=6, accumulate=2))
    source = Scenes("train", size=16, length=20)
    whole = list(batch_parts(config, source, range(4), Ranks(), CPU))
    assert len(whole) == 8
    assert all(part.share == 0.5 for part in whole)
    rest = list(batch_parts(config, source, range(2, 4), Ranks(), CPU))
    assert len(rest) == 4
    for ours, theirs in zip(rest, whole[4:], strict=True):
        assert torch.equal(ours.views.masked, theirs.views.masked)
    ranks = [list(batch_parts(config, source, range(4), Ranks(r, 2), CPU)) for r in range(2)]
    for part, *shares in zip(whole, *ranks, strict=True):
        assert sum(each.share for each in shares) == pytest.approx(part.share)
        assert torch.equal(torch.cat([each.views.full for each in shares]), part.views.full)


@pytest.mark.parametrize("num_masked", [0, 1, 2, 3])
def test_the_second_view_is_the_second_masked_one_or_the_only_one_in_its_colours(
    config: RunConfig, num_masked: int
) -> None:
    views = replace(config.views, num_masked=num_masked)
    dataset = MultiView(Scenes("train", size=16), 16, 4, views, seed=0)
    found = views_on(CPU, dataset.__getitems__([(0, 3), (0, 5)]), views, uses_second=True)
    if num_masked:
        expected = found.masked[min(1, num_masked - 1) :: num_masked]
        assert not torch.equal(expected, found.full)
    else:
        expected = found.full
    assert found.second is not None
    assert torch.equal(found.second, expected)


@pytest.mark.parametrize(
    ("off", "masked", "local"),
    [
        ({}, 2, 1),
        ({"cls_local_weight": 0.0}, 2, 0),
        ({"set_alignment_weight": 0.0, "cls_masked_weight": 0.0, "koleo_weight": 0.0}, 0, 1),
    ],
)
def test_views_that_no_term_reads_are_not_cut(
    config: RunConfig, off: dict[str, float], masked: int, local: int
) -> None:
    """And where they are the last that are drawn, the others stay what they were."""
    source = Scenes("train", size=16)
    run = replace(config, objective=replace(config.objective, **off))
    (all_of_them,), (found,) = (
        list(batch_parts(each, source, range(1), Ranks(), CPU)) for each in (config, run)
    )
    images = len(found.views.full)
    assert torch.equal(found.views.full, all_of_them.views.full)
    assert len(found.views.masked) == masked * images
    assert len(found.views.local) == local * images
    if masked:
        assert torch.equal(found.views.masked, all_of_them.views.masked)


@pytest.mark.parametrize(
    ("changes", "there"),
    [({}, False), ({"teacher": "constant"}, True), ({"global_alignment": "matched"}, True)],
)
def test_only_a_run_that_reads_a_second_view_has_one(
    config: RunConfig, changes: dict[str, Any], there: bool
) -> None:
    run = replace(config, objective=replace(config.objective, **changes))
    part = next(iter(batch_parts(run, Scenes("train", size=16), range(1), Ranks(), CPU)))
    assert (part.views.second is not None) == there
