"""The factorization: which token explains each patch.

L = softmax over K of cos(W1 u, W2 s) / temperature, and Z = L S. Computed in fp32: a temperature
of 0.06 would turn half precision's rounding into visible noise.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

COSINE_EPS = 1e-7


def spatial_distribution(
    dense: Float[Tensor, "B P D"], sparse: Float[Tensor, "B K D"], temperature: float | None
) -> Float[Tensor, "B P K"]:
    """Softmax over the tokens of cosine / temperature; without, of dot product / sqrt(D)."""
    if temperature is None:
        return (dense @ sparse.mT / dense.shape[2] ** 0.5).softmax(dim=2)
    dense = F.normalize(dense, dim=2, eps=COSINE_EPS)
    sparse = F.normalize(sparse, dim=2, eps=COSINE_EPS)
    return (dense @ sparse.mT / temperature).softmax(dim=2)


def pooled(
    dense: Float[Tensor, "B P D"], spatial: Float[Tensor, "B P K"]
) -> Float[Tensor, "B K D"]:
    """For each token the mean of U over the patches, weighted by its column of L; zero for a token
    that explains nothing.
    """
    mass = spatial.sum(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    return (spatial / mass[:, None]).to(dense.dtype).mT @ dense


class Factorization(nn.Module):
    """S, and L from U and S through one projection each."""

    def __init__(self, embed_dim: int, temperature: float | None) -> None:
        super().__init__()
        self.temperature = temperature
        self.dense_proj = nn.Linear(embed_dim, embed_dim)
        self.sparse_proj = nn.Linear(embed_dim, embed_dim)

    def forward(
        self, dense: Float[Tensor, "B P D"], sparse: Float[Tensor, "B K D"]
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B P K"]]:
        projected_dense, projected_sparse = self.dense_proj(dense), self.sparse_proj(sparse)
        with torch.autocast(dense.device.type, enabled=False):
            spatial = spatial_distribution(
                projected_dense.float(), projected_sparse.float(), self.temperature
            )
        return sparse, spatial


class Unfactorized(nn.Module):
    """S and L of a model without tokens: no rows, no columns."""

    def forward(
        self, dense: Float[Tensor, "B P D"], sparse: Float[Tensor, "B 0 D"]
    ) -> tuple[Float[Tensor, "B 0 D"], Float[Tensor, "B P 0"]]:
        return sparse, dense.new_empty(*dense.shape[:2], 0)
