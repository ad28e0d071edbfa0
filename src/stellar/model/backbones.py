"""Other people's vision transformers as encoders of ours: MAE, DINO, DINOv2, DINOv3 and plain ViTs.

A backbone is our encoder without sparse tokens. `files/opening.py` reads it, whatever its naming.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.config import ConfigError, DecoderConfig, ModelConfig
from stellar.model.encoder import Encoder
from stellar.model.files.opening import BackboneFile, open_backbone
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.positions import resize_table
from stellar.model.stellar import Stellar
from stellar.precision import choose_device


class Backbone(Stellar):
    """Somebody else's vision transformer: a model of ours without tokens that draws nothing. Its
    factors have K = 0, so that Z is U.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, draws=False)
        self.learned_to_draw = False


def load_backbone(
    source: str | Path,
    device: str | torch.device = "cpu",
    revision: str | None = None,
    local_files_only: bool = False,
) -> Backbone:
    """A ready-made vision transformer: MAE, DINO, DINOv2 (also with registers), DINOv3 or a
    plain ViT.

    `source` is a folder or file of transformers, timm or the original code, or an id on the
    Hugging Face hub such as `facebook/dinov2-base` (`revision` pins it, `local_files_only` forbids
    downloads). Raises WeightsError with a sentence for anything else.
    """
    return build_backbone(open_backbone(source, revision, local_files_only), device)


def build_backbone(file: BackboneFile, device: str | torch.device = "cpu") -> Backbone:
    """The backbone of an opened file. Raises WeightsError with a sentence."""
    try:
        config = ModelConfig(num_sparse_tokens=0, decoder=DecoderConfig("pixels"), **file.sizes)
    except ConfigError as error:
        raise WeightsError(f"{file.name} cannot be used as a backbone: {error}") from error
    with torch.device("meta"):
        backbone = Backbone(config)
    load_into_encoder(backbone.encoder, config, file)
    return backbone.to(choose_device(device)).eval().requires_grad_(False)


def load_into_encoder(encoder: Encoder, config: ModelConfig, file: BackboneFile) -> None:
    """The weights of a backbone into an encoder of its sizes, but perhaps of another image size or
    number of channels. Sparse tokens of an encoder that has some stay as they are.

    Raises WeightsError with the tensors that are missing, left over or of another shape.
    """
    state, side = dict(file.state), config.image_size // config.patch_size
    if config.rope_theta is None:
        antialias = config.num_registers > 0
        state["pos_embed"] = resize_table(state["pos_embed"], side, antialias)
    weight = state["patch_embed.proj.weight"]
    try:
        state["patch_embed.proj.weight"] = adapt_channels(weight, config.in_chans)
        load_weights(encoder, state, ("sparse_tokens",) if config.num_sparse_tokens else ())
    except WeightsError as error:
        raise WeightsError(f"{file.name}: {error}") from error


def adapt_channels(
    weight: Float[Tensor, "D C p q"], in_chans: int
) -> Float[Tensor, "D {in_chans} p q"]:
    """The patch embedding of RGB for another number of channels, as timm does it: the sum for one
    channel; else RGB repeated, times 3 / in_chans.

    Raises WeightsError when the weights are not of RGB.
    """
    channels = weight.shape[1]
    if channels == in_chans:
        return weight
    if channels != 3:
        raise WeightsError(
            f"the patch embedding is of {channels} channels, the model of {in_chans}; "
            "only RGB can become another number of channels"
        )
    if in_chans == 1:
        return weight.sum(dim=1, keepdim=True)
    repeats = -(-in_chans // 3)
    return weight.repeat(1, repeats, 1, 1)[:, :in_chans] * (3 / in_chans)
