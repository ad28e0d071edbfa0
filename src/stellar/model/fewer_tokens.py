"""The tokens that explain most of a picture, in place of all K.

What a token explains is the mass of its column of L, the sum over the patches. As the rows of L sum
to 1, the k tokens of the largest mass are those that explain most together, one more of them each
time. The rows of L are normalised anew over the tokens that are kept: since L is a softmax, that is
what it would have been without the others.
"""

from numbers import Integral

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.errors import UserError


def can_keep(count: object, num_tokens: int) -> bool:
    """Whether so many of the tokens can be kept: a whole number, of Python or numpy, from 1 on."""
    return isinstance(count, Integral) and count is not True and 1 <= int(count) <= num_tokens


def by_mass(spatial: Float[Tensor, "B P K"]) -> Int64[Tensor, "B K"]:
    """The numbers of the tokens of each image, that of the largest mass first."""
    return spatial.float().sum(dim=1).argsort(dim=1, descending=True, stable=True)


def strongest(
    sparse: Float[Tensor, "B K D"], spatial: Float[Tensor, "B P K"], count: int
) -> tuple[Float[Tensor, "B k D"], Float[Tensor, "B P k"]]:
    """S and L of the `count` tokens of largest mass in each image, the largest first. A patch whose
    share of them all is 0 in the precision of L is shared evenly.

    Raises UserError unless `count` is a whole number from 1 to K.
    """
    num_tokens = sparse.shape[1]
    if not num_tokens:
        raise UserError("the model has no tokens to keep; take one that has some")
    if not can_keep(count, num_tokens):
        raise UserError(f"the model has {num_tokens} tokens; keep 1 to {num_tokens}, not {count!r}")
    kept = by_mass(spatial)[:, :count]
    tokens = sparse.gather(1, kept[:, :, None].expand(-1, -1, sparse.shape[2]))
    shares = spatial.gather(2, kept[:, None].expand(-1, spatial.shape[1], -1))
    total = shares.sum(dim=2, keepdim=True)
    return tokens, torch.where(total > 0, shares / total, 1 / count)
