"""Bytes of a training step on one device: the state that stays, and what a portion of views keeps
for its backward pass.

State is fp32: weights, their gradients, AdamW's two moments. Kept are, for each token and block,
the residual stream twice in fp32, and in the networks' precision the results of both norms, q, k
and v, the attended values twice, and the MLP's hidden layer before and after its GELU (where it is
gated: gate, value, the gate's silu and the product); with rotary positions also q and k before they
were turned, which lie in one piece with v; not the scores of attention (flash attention). Eager
torch keeps all of it; a compiler may keep less. With `training.recompute`, blocks keep their input
in fp32, and one at a time has the rest, with the gradient of its hidden layer. With
`training.pack_views` all groups of views are alive at once.
"""

from dataclasses import dataclass, fields

from stellar.config import ModelConfig, RunConfig
from stellar.cost.flops import kept_patches, num_patches, num_tokens

TOKENIZER_WEIGHTS = 54_515_587
"""Parameters of the published MaskGIT-VQGAN, all of it."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: int
    """What learns, and what is frozen beside it: a teacher, a tokenizer."""
    gradients: int
    moments: int
    """AdamW's."""
    activations: int
    """Of the portion of views that keeps most, or of all views where they are packed; targets
    included.
    """
    copies: int
    """Of the weights in the networks' precision, while a portion lasts."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


def training_memory(config: RunConfig, batch: int, shards: int = 1, number: int = 2) -> Memory:
    """Of a step on `batch` images, its state split over `shards` devices (FSDP); `number`: bytes of
    a number in the networks' precision, 2 for bf16 and 4 for fp32.
    """
    divided = split_parameters(config)
    alive = sum if config.training.pack_views else max
    learning = 4 * (divided // shards + num_parameters(config) - divided)
    frozen = 4 * TOKENIZER_WEIGHTS if config.model.decoder.target == "codes" else 0
    if taught := teacher_parameters(config):
        encoder = encoder_parameters(config.model)
        frozen += 4 * (taught - encoder + encoder // shards)
    return Memory(
        weights=learning + frozen,
        gradients=learning,
        moments=2 * learning,
        activations=batch * alive(kept_bytes(config, batch, number).values()),
        copies=number * _cast_parameters(config) if number < 4 and shards == 1 else 0,
    )


def num_parameters(config: RunConfig) -> int:
    """Of everything that learns: encoder, factorization, decoder and both heads."""
    model = config.model
    width = model.embed_dim
    factorization = 2 * _linear(width, width) if model.num_sparse_tokens else 0
    if model.slot_rounds:
        factorization = _slot_parameters(model)
    mask_token = width if config.objective.on("masked_reconstruction") else 0
    own = encoder_parameters(model) + factorization + decoder_parameters(model)
    return own + mask_token + 2 * _head_parameters(config)


def teacher_parameters(config: RunConfig) -> int:
    """Of a teacher's encoder and heads; it has no factorization and no decoder."""
    if config.objective.teacher == "none":
        return 0
    return encoder_parameters(config.model) + 2 * _head_parameters(config)


def split_parameters(config: RunConfig) -> int:
    """Of encoder and decoder, which FSDP splits; the rest is whole everywhere."""
    return encoder_parameters(config.model) + decoder_parameters(config.model)


def _cast_parameters(config: RunConfig) -> int:
    """Weights that autocast copies: all but the prototypes."""
    objective = config.objective
    return num_parameters(config) - 2 * objective.num_prototypes * objective.prototype_dim


def kept_bytes(config: RunConfig, batch: int, number: int) -> dict[str, int]:
    """What the backward pass of a portion of each group of views needs, for each image of a
    batch.
    """
    model, views, objective = config.model, config.views, config.objective
    patches, extra = num_patches(model, model.image_size), 1 + model.num_encoded_tokens
    read = None if objective.reads_masked_patches(model) else extra
    masked, local = views.num_masked, views.num_local
    if not config.training.pack_views:
        most = config.training.views_of_each(batch)
        masked, local = min(masked, most), min(local, most)
    crops = num_patches(model, views.local_size)
    again = config.training.recompute
    drawn = _decoder_bytes(model, patches, number, again)
    full = _encoder_bytes(model, patches, None, number, again)
    hidden = masked * _encoder_bytes(model, kept_patches(config), read, number, again)
    if objective.on("masked_reconstruction"):
        hidden += masked * drawn
    if objective.aligns_globally:  # the second whole view waits for the full one
        full += _encoder_bytes(model, patches, read, number, again)
    balance = 8 * num_tokens(model) * objective.num_prototypes  # logits and their exponentials
    return {
        "full": full + objective.on("reconstruction") * drawn + balance,
        "masked": objective.uses_masked * hidden,
        "local": objective.on("cls_local") * local * _encoder_bytes(model, crops, 1, number, again),
    }


def _encoder_bytes(
    model: ModelConfig, patches: int, read: int | None, number: int, again: bool
) -> int:
    tokens = 1 + model.num_encoded_tokens + model.num_registers + patches
    width = model.embed_dim
    expanded = (1 + model.gated_mlp) * model.hidden_dim
    turned = 0 if model.rope_theta is None else number * width
    blocks = [_block_bytes(tokens, tokens, width, expanded, number, turned)] * (model.depth - 1)
    blocks.append(_block_bytes(tokens, read or tokens, width, expanded, number, turned))
    kept = _stack_bytes(blocks, tokens, width, expanded, number) if again else sum(blocks)
    pixels = patches * model.in_chans * model.patch_size**2 * number
    return kept + pixels


def _stack_bytes(blocks: list[int], tokens: int, width: int, expanded: int, number: int) -> int:
    """Of blocks that are computed again: their inputs, and all of one at a time."""
    return len(blocks) * 4 * tokens * width + max(blocks) + number * tokens * expanded


def _block_bytes(
    tokens: int, read: int, width: int, expanded: int, number: int, turned: int = 0
) -> int:
    """Keys and values of all tokens; the rest of those that are read. `expanded` is what the first
    layer of the MLP gives, `turned` the bytes of a query or key that rotary positions have turned.
    """
    everywhere = tokens * ((4 + 3 * number) * width + turned)
    return everywhere + read * (4 * width + turned + number * (4 * width + 2 * expanded))


def _decoder_bytes(model: ModelConfig, patches: int, number: int, again: bool) -> int:
    """With what L and Z = L S keep in fp32, and the logits of the codes."""
    decoder = model.decoder
    width, hidden = decoder.embed_dim, decoder.hidden_dim
    blocks = [_block_bytes(patches, patches, width, hidden, number)] * decoder.depth
    kept = _stack_bytes(blocks, patches, width, hidden, number) if again else sum(blocks)
    logits = 4 * decoder.num_codes if decoder.target == "codes" else 0
    return kept + patches * (3 * 4 * model.embed_dim + logits)


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _block_parameters(width: int, hidden: int, gated: bool = False) -> int:
    attention = _linear(width, 3 * width) + _linear(width, width)
    mlp = _linear(width, (1 + gated) * hidden) + _linear(hidden, width)
    return attention + mlp + 4 * width


def encoder_parameters(model: ModelConfig) -> int:
    width = model.embed_dim
    block = _block_parameters(width, model.hidden_dim, model.gated_mlp)
    block += 2 * width if model.layer_scale else 0
    tokens = 1 + model.num_encoded_tokens + model.num_registers
    if model.rope_theta is None:  # a position for cls and each patch
        tokens += 1 + num_patches(model, model.image_size)
    narrow = model.bottleneck
    squeezed = _linear(width, narrow) + _linear(narrow, width) + 2 * width if narrow else 0
    patch = _linear(model.in_chans * model.patch_size**2, width)
    return patch + tokens * width + model.depth * block + 2 * width + squeezed


def _slot_parameters(model: ModelConfig) -> int:
    """Slots, three norms, three projections, a GRU with two biases, an MLP."""
    width = model.embed_dim
    own = model.num_sparse_tokens * width + 6 * width
    gates = 6 * width**2 + 6 * width
    return own + 3 * width**2 + gates + _linear(width, 2 * width) + _linear(2 * width, width)


def decoder_parameters(model: ModelConfig) -> int:
    decoder = model.decoder
    width = decoder.embed_dim
    block = _block_parameters(width, decoder.hidden_dim)
    head = _linear(width, decoder.num_codes)
    if decoder.target == "pixels":
        head = width * model.in_chans * model.patch_size**2 + model.in_chans
    return _linear(model.embed_dim, width) + decoder.depth * block + 2 * width + head


def _head_parameters(config: RunConfig) -> int:
    """Of one of the two."""
    objective = config.objective
    mlp = _linear(config.model.embed_dim, objective.head_hidden_dim)
    mlp += _linear(objective.head_hidden_dim, objective.prototype_dim)
    return mlp + objective.num_prototypes * objective.prototype_dim
