"""Pre-norm transformer blocks: x + attention(norm(x)), then x + mlp(norm(x)).

Parameters are named as in timm and in the original ViT, DINO and MAE code. Only the first `read`
tokens of a block's result are computed when a caller needs no others: attention reads all tokens,
but answers for those alone.

Several batches, each with its own number of tokens, can go through packed: all their tokens are
rows of one matrix, and only attention takes them group by group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stellar.model.positions import Turns, turn

LONGEST_PLAIN = 1024
"""Most tokens for which plain attention is used in bf16 on a CPU."""
LONGEST_EFFICIENT = 64
"""Most tokens for which memory-efficient attention is used on a GPU."""
CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""Torch's kernels; the first one that the device and the tensors allow is taken."""

Groups = tuple[tuple[int, int], ...]
"""(images, tokens of each) of the batches whose tokens are rows of one matrix, in order."""


@dataclass(frozen=True)
class BlockSize:
    """What all blocks of a stack have in common."""

    embed_dim: int
    num_heads: int
    hidden_dim: int
    """Width of the hidden layer of an MLP."""
    norm_eps: float
    """Epsilon of every LayerNorm."""
    layer_scale: bool = False
    gated_mlp: bool = False


def attend(
    q: Float[Tensor, "B H M d"],
    k: Float[Tensor, "B H N d"],
    v: Float[Tensor, "B H N d"],
    *,
    cudnn_first: bool = False,
) -> Float[Tensor, "B H M d"]:
    """softmax(q k' / sqrt(d)) v, by torch's fused kernel, with two exceptions
    (`benchmarks/attention.py`); `cudnn_first`: by cuDNN's, where there is one.

    In bf16 on a CPU, its backward pass is several times slower than the three plain operations for
    as long as the scores fit in cache. On a GPU, few tokens leave most of a tile of the default
    kernel empty.
    """
    tokens = k.shape[2]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and tokens <= LONGEST_PLAIN:
        return ((q * q.shape[3] ** -0.5) @ k.mT).softmax(dim=3) @ v
    if cudnn_first:
        with sdpa_kernel(CUDNN_FIRST, set_priority=True):
            return F.scaled_dot_product_attention(q, k, v)
    if q.device.type == "cuda" and tokens <= LONGEST_EFFICIENT:
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            return F.scaled_dot_product_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention with a fused, biased projection to queries, keys and values;
    `cudnn_first` is that of `attend`.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.cudnn_first = False

    def forward(
        self,
        x: Float[Tensor, "*rows D"],
        read: int | None = None,
        groups: Groups | None = None,
        turns: Turns | None = None,
    ) -> Float[Tensor, "*read_rows D"]:
        q, k, v = self._heads(self.qkv(x)) if read is None else self._prefix_queries(x, read)
        if turns is not None:
            q, k = turn(q, turns if read is None else turns[:, :, :read]), turn(k, turns)
        if groups is not None:
            return self.proj(self._attend_in_groups(q, k, v, groups))
        return self.proj(self._attend(q, k, v))

    def _heads(self, projected: Float[Tensor, "*rows E"]) -> tuple[Tensor, ...]:
        """Queries, keys and values, or some of them, of each head: (*rows, H, d)."""
        width = self.proj.in_features
        apart = projected.unflatten(-1, (-1, self.num_heads, width // self.num_heads))
        return apart.unbind(-3)

    def _attend(
        self,
        q: Float[Tensor, "B M H d"],
        k: Float[Tensor, "B N H d"],
        v: Float[Tensor, "B N H d"],
    ) -> Float[Tensor, "B M D"]:
        """What all heads give, side by side."""
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return attend(q, k, v, cudnn_first=self.cudnn_first).transpose(1, 2).flatten(2)

    def _attend_in_groups(
        self, q: Tensor, k: Tensor, v: Tensor, groups: Groups
    ) -> Float[Tensor, "rows D"]:
        """Every token attends to those of its own image."""
        parts = zip(*(unpack(x, groups) for x in (q, k, v)), strict=True)
        return pack([self._attend(*part) for part in parts])

    def _prefix_queries(self, x: Tensor, read: int) -> tuple[Tensor, ...]:
        """Queries of the first `read` tokens only; keys and values of all."""
        dim = x.shape[2]
        q = F.linear(x[:, :read], self.qkv.weight[:dim], self.qkv.bias[:dim])
        kv = F.linear(x, self.qkv.weight[dim:], self.qkv.bias[dim:])
        return *self._heads(q), *self._heads(kv)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        return self.fc2(F.gelu(self.fc1(x)))


class GatedMlp(nn.Module):
    """SwiGLU: the hidden layer is silu(gate) * value, both linear in x; `fc1` gives the gate, then
    the value. As in DINOv2-giant and the larger DINOv3.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_dim, 2 * hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Float[Tensor, "*rows in_dim"]) -> Float[Tensor, "*rows out_dim"]:
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(F.silu(gate) * value)


class LayerScale(nn.Module):
    """A learned factor for each channel of a branch's result, as DINOv2 has it."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(embed_dim))

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return x * self.gamma


class Block(nn.Module):
    """One pre-norm transformer block. With `bf16_residual`, x is bf16 under autocast: each sum is
    computed in fp32 and rounded.
    """

    def __init__(self, size: BlockSize) -> None:
        super().__init__()
        dim = size.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=size.norm_eps)
        self.attn = Attention(dim, size.num_heads)
        self.ls1 = LayerScale(dim) if size.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=size.norm_eps)
        self.mlp = (GatedMlp if size.gated_mlp else Mlp)(dim, size.hidden_dim, dim)
        self.ls2 = LayerScale(dim) if size.layer_scale else nn.Identity()
        self.bf16_residual = False

    def forward(
        self,
        x: Float[Tensor, "*rows D"],
        read: int | None = None,
        groups: Groups | None = None,
        turns: Turns | None = None,
    ) -> Float[Tensor, "*read_rows D"]:
        """`x` is (images, tokens, D); with `groups` it is (rows, D), and all of it is read."""
        attended = self.ls1(self.attn(self.norm1(self._widened(x)), read, groups, turns))
        x = self.stored((x if read is None else x[:, :read]) + attended)
        return self.stored(x + self.ls2(self.mlp(self.norm2(self._widened(x)))))

    def _is_narrow(self, x: Tensor) -> bool:
        return self.bf16_residual and torch.is_autocast_enabled(x.device.type)

    def stored(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """The residual stream as it is kept in memory."""
        return x.bfloat16() if self._is_narrow(x) else x

    def _widened(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """x for a norm in fp32, which autocast sees to on a GPU alone: on a CPU, the gradients of a
        norm of bf16 would be summed in bf16 over all rows.
        """
        return x.float() if self._is_narrow(x) else x


def init_weights(module: nn.Module) -> None:
    """Linear layers from N(0, 0.02), biases zero: the initialisation of ViT."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def normal(*shape: int, std: float = 1.0) -> Tensor:
    """Random numbers; none on the meta device, where torch would first import its compiler."""
    tensor = torch.empty(shape)
    return tensor if tensor.is_meta else nn.init.normal_(tensor, std=std)


def stack(depth: int, size: BlockSize) -> nn.ModuleList:
    """`depth` blocks of the same size."""
    return nn.ModuleList(Block(size) for _ in range(depth))


def run_blocks(
    blocks: nn.ModuleList,
    x: Float[Tensor, "B N D"],
    read: int | None = None,
    turns: Float[Tensor, "2 _B N d"] | None = None,
) -> Float[Tensor, "B M D"]:
    """All blocks in order; the last one answers only for the first `read` tokens. `turns` are
    rotary positions, the same for all images where there is one row of them.
    """
    if not len(blocks):
        return x[:, :read]
    dtype = x.dtype  # that of the result too, whatever the blocks store
    x = as_stored(blocks, x)
    for block in blocks[:-1]:
        x = block(x, turns=turns)
    return blocks[-1](x, read, turns=turns).to(dtype)


def run_blocks_packed(
    blocks: nn.ModuleList,
    batches: Sequence[Float[Tensor, "_B _N D"]],
    reads: Sequence[int | None],
    turns: Sequence[Float[Tensor, "2 _B _N d"] | None],
) -> list[Float[Tensor, "_B _M D"]]:
    """`run_blocks` of several batches, each with its `read` and its `turns`: all blocks but the
    last one take all tokens together.
    """
    groups = tuple((len(x), x.shape[1]) for x in batches)
    x, dtype = as_stored(blocks, pack(batches)), batches[0].dtype
    of_rows = pack_turns(turns, groups)
    for block in blocks[:-1]:
        x = block(x, groups=groups, turns=of_rows)
    parts = zip(unpack(x, groups), reads, turns, strict=True)
    return [run_blocks(blocks[-1:], *part).to(dtype) for part in parts]


def as_stored(blocks: nn.ModuleList, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
    """x as the blocks store what they hand on, so that all of them are compiled alike."""
    first = blocks[0]
    assert isinstance(first, Block)
    return first.stored(x)


def pack(batches: Sequence[Float[Tensor, "_B _N D"]]) -> Float[Tensor, "rows D"]:
    """All tokens of several batches as rows of one matrix."""
    return torch.cat([x.flatten(0, 1) for x in batches])


def pack_turns(turns: Sequence[Float[Tensor, "2 _B _N d"] | None], groups: Groups) -> Turns | None:
    """The rotary positions of all rows, if there are any."""
    each = [
        part.expand(-1, images, -1, -1).flatten(1, 2)
        for part, (images, _) in zip(turns, groups, strict=True)
        if part is not None
    ]
    return torch.cat(each, dim=1) if each else None


def unpack(x: Shaped[Tensor, "rows *E"], groups: Groups) -> list[Shaped[Tensor, "_B _N *E"]]:
    """The batches that the rows were packed from."""
    parts = x.split([images * tokens for images, tokens in groups])
    return [part.unflatten(0, group) for part, group in zip(parts, groups, strict=True)]


def no_weight_decay(name: str, parameter: Tensor) -> bool:
    """True for norms, biases, tokens and position tables, which weight decay would only harm."""
    return parameter.ndim <= 1 or name.endswith(("_token", "_tokens", "pos_embed"))
