"""Is the representation alive? Figures that tell a collapse from a falling loss, and plain words
about them.

A loss can fall while the tokens collapse: to a constant, to a few dimensions, or to one token
that explains every patch. No single figure notices all three, so each has its own.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stellar.objective.prototypes import Assignment
from stellar.objective.step import StepResult

MAX_ROWS = 2048
"""Tokens that the figures are computed from, at most."""


@dataclass(frozen=True)
class Health:
    """Figures of one step, on one process's batch."""

    effective_rank: float
    """exp of the entropy of the normalised singular values of the centred tokens: 1 to D."""
    token_spread: float
    """Standard deviation of a normalised token's coordinates over tokens, times sqrt(D): near 1,
    and 0 at collapse.
    """
    prototype_perplexity: float
    """exp of the entropy of the mean predicted distribution over prototypes: 1 to C."""
    largest_share: float
    """Share of the patches explained by the token that explains most, over the batch: 1/K to 1."""
    smallest_share: float
    """The same for the token that explains least."""

    def as_row(self) -> dict[str, float]:
        """Names and values for the metrics file."""
        return asdict(self)

    def warnings(self) -> dict[str, str]:
        """A sentence for each sign of collapse, by the figure that shows it."""
        found = {}
        if self.token_spread < 0.05:
            found["token_spread"] = (
                f"all tokens are nearly the same (spread {self.token_spread:.3f})"
            )
        if self.effective_rank < 2:
            found["effective_rank"] = f"the tokens span {self.effective_rank:.1f} dimensions only"
        if self.largest_share > 0.95:
            found["largest_share"] = f"one token explains {self.largest_share:.0%} of all patches"
        return found


@torch.no_grad()
def measure_health(result: StepResult, temperature: float) -> Health:
    """The figures of a training step; `temperature` is that of the prediction."""
    tokens = result.factors.sparse.float().flatten(0, 1)[:MAX_ROWS]
    shares = result.factors.spatial.float().mean(dim=(0, 1))
    return Health(
        effective_rank=effective_rank(tokens),
        token_spread=token_spread(tokens),
        prototype_perplexity=prototype_perplexity(result.targets.token, temperature),
        largest_share=shares.max().item(),
        smallest_share=shares.min().item(),
    )


def effective_rank(tokens: Float[Tensor, "N D"]) -> float:
    """Roy and Vetterli 2007: exp of the entropy of the singular values, normalised to sum 1,
    after centring.
    """
    values = torch.linalg.svdvals(tokens - tokens.mean(dim=0))
    share = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.exp(torch.special.entr(share).sum()).item()


def token_spread(tokens: Float[Tensor, "N D"]) -> float:
    """Mean standard deviation of the coordinates of L2-normalised tokens, times sqrt(D)."""
    unit = F.normalize(tokens, dim=1)
    return (unit.std(dim=0, correction=0).mean() * tokens.shape[1] ** 0.5).item()


def prototype_perplexity(target: Assignment, temperature: float) -> float:
    """How many prototypes the predictions use, over the batch."""
    features = target.features[:MAX_ROWS]
    mean = (features @ target.prototypes.T / temperature).softmax(dim=1).mean(dim=0)
    return torch.exp(torch.special.entr(mean).sum()).item()
