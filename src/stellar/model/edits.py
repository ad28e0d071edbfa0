"""Factors, edited: what a token is (S), and where it is (L).

Where a token is, is its share of each patch: its column of L. An edit decides that share anew, and
the other tokens keep what is left of the patch, in the proportions that they had, so that every row
of L still sums to 1:

    L'[p, k] = share[p],    L'[p, j] = (1 - share[p]) L[p, j] / sum_{i != k} L[p, i]   for j != k

U and cls stay those of the picture; Z = L S, and so what is drawn, follows.
"""

from collections.abc import Iterable
from dataclasses import replace
from numbers import Integral, Real

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.errors import UserError
from stellar.model.factors import Factors

MOST = 1_000_000
"""Times that a token may count as much as it did."""


class EditError(UserError):
    """An edit that names no token, or no patch, that there is, or gives it what it cannot have."""


def replaced(factors: Factors, token: int, sparse: Float[Tensor, "B D"]) -> Factors:
    """Another token of S in this one's place: another thing, where this one was."""
    _check(factors, token)
    images, _, width = factors.sparse.shape
    expected = f"a token is a tensor ({images}, {width}), or (1, {width})"
    _check_shape(sparse, expected, (images, width), (1, width))
    changed = factors.sparse.clone()
    changed[:, token] = sparse.to(changed)
    return replace(factors, sparse=changed)


def painted(
    factors: Factors, token: int, patches: Iterable[int], share: int | float = 1
) -> Factors:
    """The token holds this share, from 0 to 1, of some patches, which are counted row by row."""
    _check(factors, token)
    patches, last = _listed(patches), factors.spatial.shape[1] - 1
    for patch in patches:
        if not (_is_whole(patch) and 0 <= patch <= last):
            raise EditError(f"the patches are 0 to {last}, got patch {patch!r}")
    if not (isinstance(share, Real) and 0 <= share <= 1):
        raise EditError(f"the share of a patch is from 0 to 1, got {share!r}")
    wanted = factors.spatial[:, :, token].clone()
    wanted[:, patches] = share
    return _with_share(factors, token, wanted)


def scaled(factors: Factors, token: int, factor: int | float) -> Factors:
    """The token counts `factor` times as much against the others in every patch; 0 removes it."""
    _check(factors, token)
    if not (isinstance(factor, Real) and 0 <= factor <= MOST):
        raise EditError(f"a token counts 0 to {MOST:,} times as much as it did, got {factor!r}")
    mine = factors.spatial[:, :, token].float()  # MOST is more than half precision holds
    total = factor * mine + 1 - mine
    share = torch.where(total > 0, factor * mine / total, 0.0)
    return _with_share(factors, token, share.to(factors.spatial))


def moved(factors: Factors, token: int, rows: int, columns: int) -> Factors:
    """The token's map, so many patches further down and to the right; what leaves the picture is
    lost, and the other tokens fill the place where it was.
    """
    _check(factors, token)
    return _with_share(factors, token, _shifted(factors, token, rows, columns))


def duplicated(factors: Factors, token: int, rows: int, columns: int) -> Factors:
    """One more token, the last: the same as this one, so many patches further down and right."""
    _check(factors, token)
    more = replace(
        factors,
        sparse=torch.cat([factors.sparse, factors.sparse[:, token, None]], dim=1),
        spatial=torch.cat([factors.spatial, torch.zeros_like(factors.spatial[..., :1])], dim=2),
    )
    return _with_share(more, factors.sparse.shape[1], _shifted(factors, token, rows, columns))


def with_share(factors: Factors, token: int, share: Float[Tensor, "B P"]) -> Factors:
    """The token's share of each patch, from 0 to 1, decided; the formula above. Where the others
    had nothing, those that are anywhere in the picture get equal parts; a single token keeps
    everything.
    """
    _check(factors, token)
    shape = tuple(factors.spatial.shape[:2])
    _check_shape(share, f"the shares of patches are a tensor {shape}", shape)
    if not ((share >= 0) & (share <= 1)).all():
        raise EditError("the share of a patch is from 0 to 1, got others")
    return _with_share(factors, token, share.to(factors.spatial))


def _with_share(factors: Factors, token: int, share: Float[Tensor, "B P"]) -> Factors:
    """`with_share`, of what is known to be shares but for their last digit."""
    num_tokens = factors.spatial.shape[2]
    if num_tokens == 1:
        return factors
    others = factors.spatial.clone()
    others[:, :, token] = 0
    total = others.sum(dim=2, keepdim=True)
    anywhere = (others.sum(dim=1, keepdim=True) > 0).to(others)
    anywhere = torch.where(anywhere.sum(dim=2, keepdim=True) > 0, anywhere, 1.0)
    anywhere[:, :, token] = 0
    even = (anywhere / anywhere.sum(dim=2, keepdim=True)).expand_as(others)
    others = torch.where(total > 0, others / torch.where(total > 0, total, 1), even)
    spatial = others * (1 - share[..., None])
    spatial[:, :, token] = share
    return replace(factors, spatial=spatial)


def _shifted(factors: Factors, token: int, rows: int, columns: int) -> Float[Tensor, "B P"]:
    """The token's map, moved, with zeros where nothing comes from."""
    if not (_is_whole(rows) and _is_whole(columns)):
        raise EditError(f"a map is moved by whole patches, got {rows!r} and {columns!r}")
    height, width = factors.grid
    before = factors.maps[:, token]
    after = torch.zeros_like(before)
    if abs(rows) < height and abs(columns) < width:
        to_rows, from_rows = _overlap(height, rows)
        to_columns, from_columns = _overlap(width, columns)
        after[:, to_rows, to_columns] = before[:, from_rows, from_columns]
    return after.flatten(1)


def _overlap(length: int, step: int) -> tuple[slice, slice]:
    """Where a line lands that is moved by so many places, and where what lands comes from."""
    return slice(max(step, 0), length + min(step, 0)), slice(max(-step, 0), length - max(step, 0))


def _check(factors: Factors, token: int) -> None:
    if not isinstance(factors, Factors):
        raise EditError(f"expected the factors that encode gives, got a {type(factors).__name__}")
    last = factors.sparse.shape[1] - 1
    if last < 0:
        raise EditError("the model of these factors has no tokens to edit; take one that has")
    if not (_is_whole(token) and 0 <= token <= last):
        raise EditError(f"the tokens are 0 to {last}, got token {token!r}")


def _check_shape(given: object, expected: str, *shapes: tuple[int, ...]) -> None:
    if not isinstance(given, Tensor) or given.shape not in shapes:
        came = f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else repr(given)
        raise EditError(f"{expected}, got {came}")


def _is_whole(number: object) -> bool:
    """Whether it is a whole number, of Python or numpy."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def _listed(patches: Iterable[int]) -> list[int]:
    """Patches as they are given, in a list, an array, a tensor or what gives them once."""
    if isinstance(patches, Tensor):
        patches = patches.tolist()
    if not isinstance(patches, Iterable):
        raise EditError(f"patches are a list of them, got {patches!r}")
    return list(patches)
