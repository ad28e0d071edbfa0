"""A step that is to be recorded: what can be seen of it without a GPU."""

import torch

from stellar.config import ModelConfig, ObjectiveConfig
from stellar.objective import PretrainingModel, StepResult, Views, step
from stellar.training.cuda_graph import WARM_UP, CapturedStep


def test_steps_before_the_recording_read_the_views_that_it_will_read(
    small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """The same places and strides, so that nothing is compiled anew while it is recorded; and they
    are steps like any other. The loader's full view is part of a larger tensor.
    """
    model = PretrainingModel(small, small_objective)
    seen: list[Views] = []

    def run(views: Views, share: float) -> StepResult:
        seen.append(views)
        return step(model, views, lambda loss: (loss * share).backward())

    captured = CapturedStep(run)
    keep = torch.stack([torch.randperm(16)[:8] for _ in range(4)])
    for _ in range(WARM_UP):
        whole = torch.randint(0, 256, (2, 3, 3, 16, 16), dtype=torch.uint8)
        masked, local = torch.rand(4, 3, 16, 16), torch.rand(2, 3, 8, 8)
        views = Views(whole[:, 0], masked, keep, local)
        result = captured(views, 0.5)
        expected = step(model, views, lambda _: None)
        torch.testing.assert_close(result.total, expected.total)
    places = [(each.full.data_ptr(), each.masked.data_ptr()) for each in seen]
    assert len(places) == WARM_UP
    assert len(set(places)) == 1
    assert all(each.full.is_contiguous() for each in seen)
    captured(Views(whole[:1, 0], masked[:2], keep[:2], local[:1]), 0.5)
    assert len(captured.recordings) == 2
