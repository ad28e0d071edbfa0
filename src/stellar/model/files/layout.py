"""How others name the parameters of a vision transformer, and how we do: one table per family of
files, read in both directions.

Our names are those of timm and of the original ViT, DINO and MAE code, with query, key and value
fused in one `attn.qkv`; a table may name them apart (`attn.q`, `attn.k`, `attn.v`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stellar.model.files.strict_loading import WeightsError


class UnknownWeights(WeightsError):
    """A tensor's name belongs to no part of the model."""


@dataclass(frozen=True)
class Layout:
    """A family of files: its names and ours."""

    name: str
    """What a message calls it."""
    table: tuple[tuple[str, str], ...]
    """Their prefix, our prefix; {n} is a layer's number, and what follows (.weight, .bias) stays.
    Order does not matter: every name matches one row.
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
        return _Fused(
            state,
            {
                self._rename(name, forward=True): name
                for name in state
                if not self.unused.match(name)
            },
        )

    def write(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their names, without their unused parameters, from ours."""
        apart = any(ours.endswith(".attn.q") for _, ours in self.table)
        state = _split(state) if apart else state
        return {self._rename(name, forward=False): tensor for name, tensor in state.items()}

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
    """Tensors under our names; query, key and value become one when they are read."""

    def __init__(self, state: Mapping[str, Tensor], source_of: Mapping[str, str]) -> None:
        self._state = state
        self._parts: dict[str, list[str]] = {}
        for name in source_of:
            match = re.match(r"(.*\.attn\.)[qkv](\..*)", name)
            parts = [f"{match[1]}{part}{match[2]}" for part in "qkv"] if match else [name]
            lost = [part for part in parts if part not in source_of]
            if lost:
                raise WeightsError(f"the weights lack {', '.join(lost)}")
            fused = f"{match[1]}qkv{match[2]}" if match else name
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


def _split(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".attn.qkv." in name:
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                split[name.replace(".attn.qkv.", f".attn.{part}.")] = rows
        else:
            split[name] = tensor
    return split
