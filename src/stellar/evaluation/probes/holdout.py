"""What heads are fitted on, and what they are chosen by: training pictures, never test pictures."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor


def hold_out(
    count: int, generator: torch.Generator
) -> tuple[Int64[Tensor, " held"], Int64[Tensor, " fitted"]]:
    """A random tenth of so many pictures to choose by, and the others. A lone one is both."""
    order = torch.randperm(count, generator=generator)
    heldout, fitted = order.tensor_split([max(1, count // 10)])
    return heldout, fitted if len(fitted) else heldout


def shuffled(
    rows: Int64[Tensor, " n"], epochs: int, batch_size: int, generator: torch.Generator
) -> Iterator[Int64[Tensor, " _"]]:
    """Batches of these pictures, in a new order in every epoch."""
    for _ in range(epochs):
        yield from rows[torch.randperm(len(rows), generator=generator)].split(batch_size)


def num_steps(count: int, epochs: int, batch_size: int) -> int:
    """Batches that so many pictures give, a tenth of them held out."""
    fitted = max(1, count - max(1, count // 10))
    return epochs * math.ceil(fitted / batch_size)
