"""The parts of a step's batch: what is in them, and what a teacher sees."""

from dataclasses import replace

import pytest
import torch

from stellar.config import RunConfig
from stellar.data import MultiView, Scenes
from stellar.processes.launch import Ranks
from stellar.training.batch_parts import batch_parts, view_of_teacher

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
def test_a_teacher_sees_the_second_masked_view_or_the_only_one_in_its_own_colours(
    config: RunConfig, num_masked: int
) -> None:
    views = replace(config.views, num_masked=num_masked)
    batch = MultiView(Scenes("train", size=16), 16, 4, views, seed=0).__getitems__([(0, 3), (0, 5)])
    there = batch.to("cpu")
    expected = {0: there.full, 1: there.masked[:, :1].flatten(0, 1)}
    second = there.masked[:, 1:2].flatten(0, 1)
    assert torch.equal(view_of_teacher(there), expected.get(num_masked, second))


def test_only_a_run_with_a_teacher_has_a_view_for_it(config: RunConfig) -> None:
    for teacher in ("none", "constant"):
        run = replace(config, objective=replace(config.objective, teacher=teacher))
        part = next(iter(batch_parts(run, Scenes("train", size=16), range(1), Ranks(), CPU)))
        assert (part.views.teacher is None) == (teacher == "none")
