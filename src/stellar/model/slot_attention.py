"""S and L by slot attention (Locatello et al. 2020, arXiv 2006.15055): what STELLAR's tokens are
compared with.

The encoder sees patches alone. K slots then compete for them: in each round a softmax over slots
says which slot explains each patch, and every slot is brought up to date with the mean of its
patches. The slots are S, and the softmax of the last round is L.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stellar.model.factorization import pooled
from stellar.model.transformer import Mlp, normal


class SlotAttention(nn.Module):
    """U to slots and their distribution over patches. The slots begin at learned places, not at
    random ones, so that a picture is encoded in one way.
    """

    def __init__(self, embed_dim: int, num_slots: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.slots = nn.Parameter(normal(num_slots, embed_dim, std=embed_dim**-0.5))
        self.norm_dense = nn.LayerNorm(embed_dim)
        self.norm_slots = nn.LayerNorm(embed_dim)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        self.queries = nn.Linear(embed_dim, embed_dim, bias=False)
        self.keys = nn.Linear(embed_dim, embed_dim, bias=False)
        self.values = nn.Linear(embed_dim, embed_dim, bias=False)
        self.gru = nn.GRUCell(embed_dim, embed_dim)
        self.mlp = Mlp(embed_dim, 2 * embed_dim, embed_dim)

    def forward(
        self, dense: Float[Tensor, "B P D"], _sparse: Float[Tensor, "B 0 D"]
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B P K"]]:
        dense = self.norm_dense(dense)
        keys, values = self.keys(dense), self.values(dense)
        with torch.autocast(dense.device.type, enabled=False):
            return self._compete(keys.float(), values.to(self.slots.dtype))

    def _compete(
        self, keys: Float[Tensor, "B P D"], values: Float[Tensor, "B P D"]
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B P K"]]:
        batch, _, width = keys.shape
        slots = self.slots.expand(batch, -1, -1)
        spatial = keys.new_empty(0)
        for _ in range(self.rounds):
            queries = self.queries(self.norm_slots(slots)).float()
            spatial = (keys @ queries.mT / width**0.5).softmax(dim=2)
            update = pooled(values, spatial)
            slots = self.gru(update.flatten(0, 1), slots.flatten(0, 1)).unflatten(0, (batch, -1))
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots, spatial
