"""Weights into modules, strictly: what is missing, left over or of another shape is named before
anything changes.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from stellar.errors import UserError


class WeightsError(UserError):
    """A file's tensors do not fit the model; the message names them."""


def load_weights(
    module: nn.Module, state: Mapping[str, Tensor], ignore: tuple[str, ...] = ()
) -> None:
    """Copy `state` into `module`. Names that start with one of `ignore` may be left over or
    missing.

    Raises WeightsError when a tensor is missing, left over or of another shape; the module is
    then unchanged.
    """
    expected = {
        name: tensor for name, tensor in module.state_dict().items() if not name.startswith(ignore)
    }
    given = {name: tensor for name, tensor in state.items() if not name.startswith(ignore)}
    problems = [
        _listed("missing", expected.keys() - given.keys()),
        _listed("not part of this model", given.keys() - expected.keys()),
        _listed(
            "of another shape",
            (
                f"{name} {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in given and given[name].shape != tensor.shape
            ),
        ),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise WeightsError("the weights do not fit the model: " + "; ".join(found))
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(given[name])


def _listed(what: str, names: Iterable[str]) -> str:
    names = sorted(names)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{what}: {shown}" if names else ""
