"""The biases of queries, keys and values: a file may have none for some of them, or mask them, and
ours has all three.
"""

from collections.abc import Mapping

from torch import Tensor

from stellar.model.files.json_fields import JsonFields
from stellar.model.files.layout import FUSED, split
from stellar.model.files.strict_loading import WeightsError

MASK = ".bias_mask"
"""Where DINOv3's own code says by zeros which biases do not count."""
BIASES = {"query_bias": "attn.q", "key_bias": "attn.k", "value_bias": "attn.v"}
"""The fields of DINOv3's `config.json` that say which there are."""


def require_biases(state: Mapping[str, Tensor], config: JsonFields) -> None:
    """Raises WeightsError where `config.json` says other biases than the tensors have, which are
    under our names, with query, key and value apart.
    """
    if any(".attn.qkv." in name for name in state):
        return  # one bias for all, and perhaps a mask
    there = {
        part: any(name.endswith(f".{part}.bias") for name in state) for part in FUSED["attn.qkv"]
    }
    for field, part in BIASES.items():
        config.require(field, there[part])
    config.require("qkv_bias", all(there.values()))


def with_all_biases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names, with query, key and value apart: a masked bias is zero, and so is
    one that no block has, as that of the keys in DINOv3. Raises WeightsError for a mask that does
    not fit.
    """
    complete = split(_masked(state), "attn.qkv")
    for part in FUSED["attn.qkv"]:
        if not any(name.endswith(f".{part}.bias") for name in complete):
            complete |= {
                f"{name.removesuffix('.weight')}.bias": weight.new_zeros(weight.shape[:1])
                for name, weight in complete.items()
                if name.endswith(f".{part}.weight")
            }
    return complete


def _masked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The biases that count, and no mask."""
    masks = {name.removesuffix(MASK): mask for name, mask in state.items() if name.endswith(MASK)}
    found = {name: tensor for name, tensor in state.items() if not name.endswith(MASK)}
    for layer, mask in masks.items():
        bias = found.get(f"{layer}.bias")
        if bias is None or bias.shape != mask.shape:
            raise WeightsError(f"{layer}.bias_mask needs a bias of its shape {tuple(mask.shape)}")
        found[f"{layer}.bias"] = bias.masked_fill(mask == 0, 0.0)
    return found
