"""Weights into modules, strictly: what is missing, left over or of another shape is named before
anything changes.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from stellar.errors import UserError
from stellar.processes.sharded import split_like


class WeightsError(UserError):
    """A file's tensors do not fit the model; the message names them."""


def load_weights(
    module: nn.Module, state: Mapping[str, Tensor], ignore: tuple[str, ...] = ()
) -> None:
    """Put `state` into `module`. Names that start with one of `ignore` may be left over or
    missing.

    A module on the meta device takes the tensors themselves, so its weights are in memory once;
    any other takes their values. Raises WeightsError when a tensor is missing, left over, of
    another shape, not of floating point or not finite; the module is then unchanged. Names are
    checked before the first tensor is read.
    """
    expected = {
        name: tensor for name, tensor in module.state_dict().items() if not name.startswith(ignore)
    }
    given = {name for name in state if not name.startswith(ignore)}
    _refuse(
        _listed("missing", expected.keys() - given),
        _listed("not part of this model", given - expected.keys()),
    )
    tensors = {name: state[name] for name in expected}
    _refuse(
        _listed(
            "of another shape",
            (
                f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if tensors[name].shape != tensor.shape
            ),
        ),
        _listed(
            "not of floating point",
            (f"{n} {t.dtype}" for n, t in tensors.items() if not t.is_floating_point()),
        ),
        _listed("not finite", (n for n, t in tensors.items() if not _is_finite(t))),
    )
    if any(tensor.is_meta for tensor in expected.values()):
        whole = {name: tensors.pop(name).to(tensor.dtype) for name, tensor in expected.items()}
        module.load_state_dict(whole, strict=False, assign=True)
        return
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(split_like(tensors[name], tensor))


def _is_finite(tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity, which takes no memory to find out."""
    if tensor.is_meta or not tensor.numel():
        return True
    return all(torch.isfinite(end) for end in torch.aminmax(tensor))


def _refuse(*problems: str) -> None:
    found = [problem for problem in problems if problem]
    if found:
        raise WeightsError("the weights do not fit the model: " + "; ".join(found))


def _listed(what: str, names: Iterable[str]) -> str:
    names = sorted(names)
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{what}: {shown}" if names else ""
