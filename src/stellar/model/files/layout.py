"""How others name the parameters of a vision transformer, and how we do: one table per family of
files, read in both directions.

Our names are those of timm and of the original ViT, DINO and MAE code, with query, key and value
fused in one `attn.qkv`, and gate and value of a gated MLP in one `mlp.fc1`; a table may name the
parts (`FUSED`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stellar.model.files.strict_loading import WeightsError

FUSED = {"attn.qkv": ("attn.q", "attn.k", "attn.v"), "mlp.fc1": ("mlp.gate", "mlp.value")}
"""What is one matrix here, and its parts, in order, where files have them apart."""


class UnknownWeights(WeightsError):
    """A tensor's name belongs to no part of the model."""


@dataclass(frozen=True)
class Layout:
    """A family of files: its names and ours."""

    name: str
    """What a message calls it."""
    table: tuple[tuple[str, str], ...]
    """Their prefix, our prefix; {n} is a layer's number, and what follows (.weight, .bias) stays.
    Every name of theirs matches one row; where several lead to one of ours, the first is written.
    """
    unused: re.Pattern[str]
    """Their parameters that nothing of ours reads; left out."""

    def read(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our names and fused qkv. Raises UnknownWeights for a name that the layout does not
        have.
        """
        return dict(self.view(state))

    def view(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Like `read`, but a tensor is taken from `state`, and fused, when it is asked for."""
        return _Fused(state, self._names(state))

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Like `read`, with everything as much apart as it is in the file."""
        return {ours: state[theirs] for ours, theirs in self._names(state).items()}

    def write(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their names, without their unused parameters, from ours."""
        targets = {ours.rpartition("{n}.")[2] for _, ours in self.table}
        for whole, parts in FUSED.items():
            state = split(state, whole) if targets >= {*parts} and whole not in targets else state
        return {self._rename(name, forward=False): tensor for name, tensor in state.items()}

    def _names(self, state: Mapping[str, Tensor]) -> dict[str, str]:
        """Ours, and theirs, of all that is used."""
        used = (name for name in state if not self.unused.match(name))
        return {self._rename(name, forward=True): name for name in used}

    def _rename(self, name: str, forward: bool) -> str:
        for theirs, ours in self.table:
            source, target = (theirs, ours) if forward else (ours, theirs)
            pattern = re.escape(source).replace(r"\{n\}", r"(?P<n>\d+)") + r"(?P<rest>\..+)?$"
            match = re.match(pattern, name)
            if match:
                number = match.groupdict().get("n") or ""
                return target.replace("{n}", number) + (match["rest"] or "")
        raise UnknownWeights(f"{name!r} is not a parameter of a {self.name} model")


def under(published: str, ours: str, rows: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The rows of a part, as rows of the model that holds it."""
    return [(f"{published}.{theirs}", f"{ours}.{mine}") for theirs, mine in rows]


class _Fused(Mapping[str, Tensor]):
    """Tensors under our names; parts become one when they are read."""

    def __init__(self, state: Mapping[str, Tensor], source_of: Mapping[str, str]) -> None:
        self._state = state
        self._parts: dict[str, list[str]] = {}
        for name in source_of:
            fused, parts = _whole(name)
            lost = [part for part in parts if part not in source_of]
            if lost:
                raise WeightsError(f"the weights lack {', '.join(lost)}")
            self._parts[fused] = [source_of[part] for part in parts]

    def __getitem__(self, name: str) -> Tensor:
        parts = [self._state[part] for part in self._parts[name]]
        if len({part.shape for part in parts}) > 1:
            raise WeightsError(
                f"{', '.join(self._parts[name])} must be of one shape, "
                f"got {', '.join(str(tuple(part.shape)) for part in parts)}"
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def _whole(name: str) -> tuple[str, list[str]]:
    """What a name becomes a part of, and the names of all its parts; itself where it is whole."""
    for whole, parts in FUSED.items():
        match = re.match(rf"(.*\.)({'|'.join(map(re.escape, parts))})(\..*)", name)
        if match:
            return f"{match[1]}{whole}{match[3]}", [f"{match[1]}{p}{match[3]}" for p in parts]
    return name, [name]


def fuse(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parts under our names put together. Raises WeightsError when one is missing."""
    return dict(_Fused(state, {name: name for name in state}))


def split(state: Mapping[str, Tensor], whole: str) -> dict[str, Tensor]:
    """One of `FUSED`, in every block, as its parts."""
    apart: dict[str, Tensor] = {}
    for name, tensor in state.items():
        before, found, after = name.rpartition(f".{whole}.")
        if found and tensor.ndim:
            parts = FUSED[whole]
            for part, rows in zip(parts, tensor.tensor_split(len(parts)), strict=True):
                apart[f"{before}.{part}.{after}"] = rows
        else:
            apart[name] = tensor
    return apart
