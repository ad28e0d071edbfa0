"""What the names of tensors begin with: what training code puts before all of them, what an encoder
lies under in other people's files, and what the parts of our own model are called.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stellar.model.files.families import KNOWN
from stellar.model.files.strict_loading import WeightsError

NESTED = ("state_dict", "model", "teacher")
"""Where training code puts a model's tensors beside its own state."""
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes that data parallelism, compilation and Lightning put before every name."""
FROZEN = ("tokenizer.",)
"""Parts of a model of ours that are never saved with it."""
HEADS = ("sparse_head.", "cls_head.")
"""The prototypes, and what leads to them."""
OF_ONE_RUN = ("mask_token", "teacher.")
"""Parts that a run does not take over from another."""
TRAINING_ONLY = (*HEADS, *OF_ONE_RUN)
"""Parts that only training needs."""
TOKENS = ("encoder.sparse_tokens", "encoder.bottleneck.", "factorization.")
"""Parts that make S and L."""


IN_CHUNKS = re.compile(r"^blocks\.\d+\.(?=\d+\.)")
"""What a block's name begins with where blocks lie in chunks; its own number follows."""


def without_training_state(content: Any) -> Any:
    """What a checkpoint holds of its model, which may lie in several tables of `NESTED`; anything
    else as it is.
    """
    while isinstance(content, Mapping):
        inner = next((key for key in NESTED if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    return content


def without_wrappers(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors without the prefixes that every name has."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            return without_wrappers({name.removeprefix(prefix): state[name] for name in state})
    return state


def is_stellar(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a STELLAR model, in whatever naming."""
    return any(name.endswith("sparse_tokens") for name in state)


def encoder_only(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What lies under the prefix of the cls token (`vit.`, `backbone.`, `teacher.backbone.`),
    without it; heads and decoders lie beside. Blocks that lie in chunks, as in training
    checkpoints of DINOv2, lose the chunk's number. Raises WeightsError when it is no encoder, or
    one of ours.
    """
    if is_stellar(state):
        raise WeightsError("it is a STELLAR model; load it with stellar.load")
    matches = [re.fullmatch(r"(|.*?\.)(?:embeddings\.)?cls_token", name) for name in state]
    prefixes = [match[1] for match in matches if match]
    if not prefixes:
        raise WeightsError(
            f"it has no cls token, so it is not a {KNOWN} (neither are CLIP and ConvNeXt)"
        )
    prefix = min(prefixes, key=lambda prefix: ("teacher" not in prefix, len(prefix)))
    return {
        IN_CHUNKS.sub("blocks.", name.removeprefix(prefix)): state[name]
        for name in state
        if name.startswith(prefix)
    }
