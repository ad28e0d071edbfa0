"""Arithmetic of one image: multiplications and additions of its matrix products, part by part.

A product of matrices (m k) and (k n) is 2 m k n FLOP. Its backward pass is two products of the
same size, one for each factor, so what learns costs three times its forward pass; pixels get no
gradient. Blocks that are computed again in the backward pass (`training.recompute`) cost a fourth
time, all but their last product, which nothing needs unless a layer scale learns from it. Counted
is what `objective.step` does: patches that are dropped are not embedded, and the last block answers
only for the tokens that a loss reads.
"""

from dataclasses import dataclass, fields

from stellar.config import ModelConfig, ObjectiveConfig, RunConfig
from stellar.config.views import num_kept

TOKENIZER_FLOP = 502_988_800
"""Of the encoder and codebook of the published MaskGIT-VQGAN, for each code (16 x 16 pixels)."""


@dataclass(frozen=True)
class Flops:
    """FLOP of one training image, forward and backward."""

    full: int
    """The encoder and L of the full view."""
    masked: int
    """The encoder on all masked views."""
    local: int
    """The encoder on all local crops."""
    second: int
    """The encoder on the second whole view, where it is aligned with the full one."""
    teacher: int
    """The teacher's encoder on that view, forward alone."""
    decoder: int
    """Z = L S, and the decoder."""
    tokenizer: int
    """The codes that are reconstructed, forward alone."""
    heads: int
    """Both prototype heads: predictions and targets."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class _Block:
    """What the cost of a transformer block depends on."""

    width: int
    hidden: int
    gated: bool = False
    scaled: bool = False
    """Its branches end in a layer scale."""


def training_flops(config: RunConfig) -> Flops:
    """What one image of a training step costs."""
    model, views, objective = config.model, config.views, config.objective
    patches = num_patches(model, model.image_size)
    read = None if objective.reads_masked_patches(model) else 1 + num_tokens(model)
    pools = objective.uses_pooled_dense and model.num_sparse_tokens > 0
    factorizes = pools or model.slot_rounds > 0  # masked views, and a teacher's
    passes = 3 if objective.uses_full else 1
    drawn = views.num_masked if objective.on("masked_reconstruction") else 0
    drawn += 1 if objective.on("reconstruction") else 0
    kept, crops = kept_patches(config), num_patches(model, views.local_size)
    again, taught = config.training.recompute, objective.teacher != "none"
    passes_of_second = 3 if objective.aligns_globally else int(taught)
    second = _encoder(
        model, patches, read, passes_of_second, again and objective.aligns_globally
    ) + passes_of_second * (
        factorizes * _factorization(model, patches) + pools * _pooling(model, patches)
    )
    return Flops(
        full=_encoder(model, patches, None, passes, again and objective.uses_full)
        + (3 if objective.on("reconstruction") or pools else 1) * _factorization(model, patches)
        + pools * 3 * _pooling(model, patches),
        masked=objective.uses_masked
        * views.num_masked
        * (
            _encoder(model, kept, read, 3, again)
            + 3 * (factorizes * _factorization(model, kept) + pools * _pooling(model, kept))
        ),
        local=objective.on("cls_local") * views.num_local * _encoder(model, crops, 1, 3, again),
        second=objective.aligns_globally * second,
        teacher=taught * second,
        decoder=drawn * _decoder(model, patches, again),
        tokenizer=drawn * TOKENIZER_FLOP * patches if model.decoder.target == "codes" else 0,
        heads=_heads(config),
    )


def encoding_flops(model: ModelConfig) -> int:
    """What encoding one image costs: tokens, maps and patches, without drawing it."""
    patches = num_patches(model, model.image_size)
    return _encoder(model, patches, None, 1) + _factorization(model, patches)


def num_patches(model: ModelConfig, size: int) -> int:
    """Of a square image of this side, in pixels."""
    return (size // model.patch_size) ** 2


def kept_patches(config: RunConfig) -> int:
    """Patches that a masked view keeps."""
    patches = num_patches(config.model, config.model.image_size)
    return num_kept(patches, config.views.masking_ratio)


def num_tokens(model: ModelConfig) -> int:
    """Rows of S; every patch where there is a dense bottleneck instead."""
    patches = num_patches(model, model.image_size)
    return patches if model.bottleneck else model.num_sparse_tokens


def _encoder(
    model: ModelConfig, patches: int, read: int | None, passes: int, again: bool = False
) -> int:
    """Forward (and backward) of one view; the last block answers for `read` tokens, or all."""
    width = model.embed_dim
    block = _Block(width, model.hidden_dim, model.gated_mlp, model.layer_scale)
    tokens = 1 + model.num_encoded_tokens + model.num_registers + patches
    embedding = 2 * patches * model.in_chans * model.patch_size**2 * width
    blocks = (model.depth - 1) * _block(block, tokens, tokens, passes, again)
    blocks += _block(block, tokens, read or tokens, passes, again)
    squeezed = 4 * patches * width * model.bottleneck
    return blocks + passes * squeezed + min(passes, 2) * embedding


def _block(block: _Block, tokens: int, read: int, passes: int = 1, again: bool = False) -> int:
    """Keys and values of all tokens; queries, attention and MLP of those that are read."""
    width, hidden = block.width, block.hidden
    linear = 2 * width * (2 * width * tokens + (2 * width + (2 + block.gated) * hidden) * read)
    forward = linear + 4 * read * tokens * width
    unneeded = 0 if block.scaled else 2 * width * hidden * read
    return passes * forward + again * (forward - unneeded)


def _factorization(model: ModelConfig, patches: int) -> int:
    """L: both projections, and their cosines; or S and L by slot attention."""
    width, tokens = model.embed_dim, model.num_sparse_tokens
    if not tokens:
        return 0
    if model.slot_rounds:
        new_slots = 2 * (1 + 6 + 4) * tokens * width**2  # queries, GRU, MLP
        a_round = new_slots + 2 * _pooling(model, patches)
        return 4 * patches * width**2 + model.slot_rounds * a_round
    return 2 * (patches + tokens) * width**2 + 2 * patches * tokens * width


def _pooling(model: ModelConfig, patches: int) -> int:
    """The mean of U over the patches of each token."""
    return 2 * patches * model.num_sparse_tokens * model.embed_dim


def _decoder(model: ModelConfig, patches: int, again: bool) -> int:
    """Forward and backward: Z = L S, and the blocks that draw from it."""
    decoder = model.decoder
    width = decoder.embed_dim
    block = _Block(width, decoder.hidden_dim)
    outputs = decoder.num_codes
    if decoder.target == "pixels":
        outputs = model.in_chans * model.patch_size**2
    lowrank = 2 * patches * model.num_sparse_tokens * model.embed_dim
    blocks = decoder.depth * _block(block, patches, patches, 3, again)
    return blocks + 3 * (lowrank + 2 * patches * width * (model.embed_dim + outputs))


def _heads(config: RunConfig) -> int:
    """Rows of predictions and of targets through the MLPs and against the prototypes."""
    model, views, objective = config.model, config.views, config.objective
    tokens = num_tokens(model)
    kept = kept_patches(config) if model.bottleneck else tokens
    whole = 1 + objective.aligns_globally  # views that predict, and are predicted
    own, aligned = objective.on("token_clustering"), objective.on("set_alignment")
    sparse = _head(
        objective,
        model.embed_dim,
        targets=(own or aligned) * whole * tokens,
        predictions=own * whole * tokens + aligned * views.num_masked * kept,
    )
    own, hidden, near = (objective.on(f"cls_{name}") for name in ("clustering", "masked", "local"))
    cls = _head(
        objective,
        model.embed_dim,
        targets=(own or hidden or near) * whole,
        predictions=own * whole + hidden * views.num_masked + near * views.num_local,
    )
    return sparse + cls


def _head(objective: ObjectiveConfig, in_dim: int, targets: int, predictions: int) -> int:
    """Predictions: logits and both their gradients. Targets: logits for Sinkhorn; then q again and
    t = q W, and both once more on the way back.
    """
    mlp = 2 * objective.head_hidden_dim * (in_dim + objective.prototype_dim)
    logits = 2 * objective.num_prototypes * objective.prototype_dim
    taught = targets * mlp if objective.teacher != "none" else 0
    return predictions * 3 * (mlp + logits) + 5 * targets * logits + taught
