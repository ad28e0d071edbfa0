"""Is the representation alive? Figures that tell a collapse from a falling loss, and plain words
about them.

A loss can fall while the tokens collapse: to a constant, to a few dimensions, or to one token
that explains every patch. No single figure notices all three, so each has its own.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stellar.objective.prototypes import Assignment
from stellar.objective.step import StepResult
from stellar.processes.exchange import all_sum, first_rows

MAX_ROWS = 2048
"""Tokens that the figures are computed from, at most."""


@dataclass(frozen=True)
class Health:
    """Figures of one step, over all processes: of the tokens, or of the patches in a model
    without tokens; None where the objective or the model has nothing to measure.
    """

    effective_rank: float
    """exp of the entropy of the normalised singular values of the centred tokens: 1 to D."""
    token_spread: float
    """Standard deviation of a normalised token's coordinates over tokens, times sqrt(D): near 1,
    and 0 at collapse.
    """
    prototype_perplexity: float | None
    """exp of the entropy of the mean predicted distribution over prototypes, of tokens, or of cls
    where no term is about tokens: 1 to C.
    """
    slot_separation: float | None
    """How far a token's number alone decides which prototypes it uses: 0, the tokens of an image
    are a set; 1, each number has prototypes of its own.
    """
    largest_share: float | None
    """Share of the patches explained by the token that explains most, over the batch: 1/K to 1;
    None for a single token, which explains all.
    """
    smallest_share: float | None
    """The same for the token that explains least."""

    def as_row(self) -> dict[str, float]:
        """Names and values for the metrics file, of what was measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def warnings(self) -> dict[str, str]:
        """A sentence for each sign of collapse, by the figure that shows it."""
        found = {}
        if self.token_spread < 0.05:
            found["token_spread"] = (
                f"all tokens are nearly the same (spread {self.token_spread:.3f})"
            )
        if self.effective_rank < 2:
            found["effective_rank"] = f"the tokens span {self.effective_rank:.1f} dimensions only"
        if self.largest_share is not None and self.largest_share > 0.95:
            found["largest_share"] = f"one token explains {self.largest_share:.0%} of all patches"
        return found


@torch.no_grad()
def measure_health(result: StepResult, temperature: float) -> Health:
    """The figures of a training step, the same in all processes, which must all ask for them;
    `temperature` is that of the prediction.
    """
    factors, targets = result.factors, result.targets
    num_tokens = factors.sparse.shape[1]
    tokens = factors.sparse if num_tokens else factors.dense
    rows = first_rows(tokens.float().flatten(0, 1), MAX_ROWS)
    explained = all_sum(factors.spatial.float().mean(dim=1).sum(dim=0))
    shares = explained / explained.sum()
    target = targets.token or targets.cls
    use = None
    if target is not None:
        use = prototype_use(target, len(target.features) // len(targets.sparse), temperature)
    return Health(
        effective_rank=effective_rank(rows),
        token_spread=token_spread(rows),
        prototype_perplexity=None if use is None else entropy(use.mean(dim=0)).exp().item(),
        slot_separation=None if use is None or targets.token is None else slot_separation(use),
        largest_share=shares.max().item() if num_tokens > 1 else None,
        smallest_share=shares.min().item() if num_tokens > 1 else None,
    )


def effective_rank(tokens: Float[Tensor, "N D"]) -> float:
    """Roy and Vetterli 2007: exp of the entropy of the singular values, normalised to sum 1,
    after centring. NaN for tokens that are not finite.
    """
    if not torch.isfinite(tokens).all():
        return math.nan
    values = torch.linalg.svdvals(tokens - tokens.mean(dim=0))
    share = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.exp(entropy(share)).item()


def token_spread(tokens: Float[Tensor, "N D"]) -> float:
    """Mean standard deviation of the coordinates of L2-normalised tokens, times sqrt(D)."""
    unit = F.normalize(tokens, dim=1)
    return (unit.std(dim=0, correction=0).mean() * tokens.shape[1] ** 0.5).item()


def prototype_use(target: Assignment, num_tokens: int, temperature: float) -> Float[Tensor, "K C"]:
    """How often each of an image's K tokens is predicted to be each prototype; rows sum to 1."""
    images = max(1, MAX_ROWS // num_tokens)
    features = first_rows(target.features, images * num_tokens)
    predicted = (features @ target.prototypes.T / temperature).softmax(dim=1)
    return predicted.unflatten(0, (-1, num_tokens)).mean(dim=0)


def slot_separation(use: Float[Tensor, "K C"]) -> float:
    """Mutual information of a token's number and its prototype, over log K; 0 for one token."""
    if len(use) < 2:
        return 0.0
    information = entropy(use.mean(dim=0)) - entropy(use).mean()
    return (information / math.log(len(use))).item()


def entropy(shares: Float[Tensor, "*rows C"]) -> Float[Tensor, "*rows"]:
    """In nats, of distributions along the last dimension."""
    return torch.special.entr(shares).sum(dim=-1)
