"""A training step as a CUDA graph: its thousands of kernels are launched at once, where one by one
a GPU with a small batch would wait for them.

Recorded when it is called for the third time, so that by then everything is compiled; played back
from then on. What a step is made of must therefore stay: the places of views, weights and gradients
(`zero_grad(set_to_none=False)`), shapes, and no random numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import torch
from torch import Tensor

from stellar.objective import StepResult, Views

Step = Callable[[Views, float], StepResult]
"""From views, and their share of the batch, to gradients and a result."""
WARM_UP = 2
"""Calls before the recording."""


class CapturedStep:
    """`step`, recorded for each shape of the views and each share. A result is overwritten by the
    next call.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.recordings: dict[tuple, Recording] = {}

    def __call__(self, views: Views, share: float) -> StepResult:
        key = share, *((name, view.shape) for name, view in _present(views))
        if key not in self.recordings:
            self.recordings[key] = Recording(self.step, views, share)
        return self.recordings[key](views)


class Recording:
    """One graph, the views that it reads and the result that it writes. The calls before it is
    recorded read these views too, so that nothing is compiled anew while it is.
    """

    def __init__(self, step: Step, views: Views, share: float) -> None:
        own = {n: v.clone(memory_format=torch.contiguous_format) for n, v in _present(views)}
        self.views = replace(views, **own)
        self.step, self.share, self.calls = step, share, 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, views: Views) -> StepResult:
        for name, view in _present(views):
            getattr(self.views, name).copy_(view)
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.step(self.views, self.share)
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            # Other threads, such as the one that pins the loader's memory, may go on meanwhile.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.result = self.step(self.views, self.share)
        self.graph.replay()
        return self.result


def _present(views: Views) -> Iterator[tuple[str, Tensor]]:
    """(name, views) of those that are there."""
    for field in fields(views):
        if (view := getattr(views, field.name)) is not None:
            yield field.name, view
