"""The biases of queries, keys and values: a file may have none for some of them, or mask them, and
ours has all three.
"""

from collections.abc import Mapping

from torch import Tensor

from stellar.model.files.layout import FUSED, split

MASK = ".bias_mask"
"""Where DINOv3's own code says by zeros which biases do not count."""


def with_all_biases(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names, with query, key and value apart: a masked bias is zero, and so is
    one that no block has, as that of the keys in DINOv3.
    """
    masks = {name for name in state if name.endswith(MASK)}
    biases = {name.removesuffix("_mask"): state[name] == 0 for name in masks}
    unmasked = {
        name: tensor.masked_fill(biases[name], 0.0) if name in biases else tensor
        for name, tensor in state.items()
        if name not in masks
    }
    complete = split(unmasked, "attn.qkv")
    for part in FUSED["attn.qkv"]:
        if not any(name.endswith(f".{part}.bias") for name in complete):
            complete |= {
                f"{name.removesuffix('.weight')}.bias": weight.new_zeros(len(weight))
                for name, weight in complete.items()
                if name.endswith(f".{part}.weight")
            }
    return complete
