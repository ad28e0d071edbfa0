"""STELLAR: an image factorized into a few semantic tokens and their spatial distribution, and
drawn again from them.
"""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stellar.config import Fit, ModelConfig
from stellar.errors import UserError
from stellar.model.decoder import Decoder
from stellar.model.encoder import Encoder, Tokens
from stellar.model.factorization import Factorization, Unfactorized
from stellar.model.factors import Factors
from stellar.model.history import History
from stellar.model.inputs import Inputs, prepare
from stellar.model.slot_attention import SlotAttention
from stellar.model.vqgan import VQGAN
from stellar.storage import at_home


class MissingTokenizer(UserError):
    """A model that reconstructs codes was asked for pixels without its MaskGIT-VQGAN."""


class MissingDecoder(UserError):
    """A model that was loaded to encode only was asked for pixels."""


class NoDecoder(nn.Module):
    """In the decoder's place when nothing is to be drawn."""

    def forward(self, _lowrank: Tensor, _grid: tuple[int, int]) -> Tensor:
        raise MissingDecoder(
            "this model was loaded to encode only; load it with purpose='reconstruct' to draw"
        )


class Stellar(nn.Module):
    """Encoder, factorization and decoder; `encode` and `reconstruct` are the whole interface.

    The tokenizer is only needed by models that reconstruct codes. It is frozen and not part of
    the saved weights. `draws=False` leaves the decoder out. `history` says how the model was
    trained, when its file does; `learned_to_draw` is False where its training is known to have had
    no reconstruction term.

    Without tokens (`num_sparse_tokens=0`) it is what STELLAR is compared with: Z is U, or U
    through a bottleneck. So it is with `slot_rounds`, where slot attention makes S and L. Raises
    UserError for what is no ModelConfig.
    """

    def __init__(
        self, config: ModelConfig, tokenizer: VQGAN | None = None, draws: bool = True
    ) -> None:
        if not isinstance(config, ModelConfig):
            raise UserError(
                "a model is made of a ModelConfig, as stellar.PRESETS['tiny']().model is one, got "
                f"a {type(config).__name__}"
            )
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.factorization = _factorization(config)
        self.decoder = Decoder(config) if draws else NoDecoder()
        self.tokenizer = tokenizer
        self.history: History | None = None
        self.learned_to_draw = True

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.cls_token.device

    @property
    def can_draw(self) -> bool:
        """Whether `reconstruct` has what it needs: a decoder, and for codes the tokenizer."""
        has_head = self.config.decoder.target == "pixels" or self.tokenizer is not None
        return has_head and isinstance(self.decoder, Decoder)

    def encode(self, images: Inputs, fit: Fit | None = None) -> Factors:
        """Factorize pictures: a path, PIL image, array (h w), (h w c) or (B h w c), tensor (C h w)
        or (B C H W), or a list of them, with the channels that the model was made for.

        uint8 is 0 to 255, uint16 and int32 are 16 bits, floats lie in [0, 1]. `fit` is the way to a
        size that the patch divides; by default a tensor (B C H W) must have one, and is taken as it
        is, while all else is cropped. `Factors.preparation` says what was done. Raises InputError.
        """
        prepared = prepare(images, self.config, fit, like=self.encoder.cls_token)
        tokens, grid = self.encoder(prepared.images), self.encoder.grid(prepared.images)
        return self.factorized(tokens, grid, prepared.description)

    def factorized(self, tokens: Tokens, grid: tuple[int, int], preparation: str = "") -> Factors:
        """The factors of images that are encoded already."""
        sparse, spatial = self.factorization(tokens.dense, tokens.sparse)
        return Factors(tokens.cls, sparse, spatial, tokens.dense, grid, preparation)

    def forward(self, images: Inputs) -> Factors:
        """`encode`."""
        return self.encode(images)

    def reconstruct(
        self,
        factors: Factors | None = None,
        *,
        sparse: Float[Tensor, "B K D"] | None = None,
        spatial: Float[Tensor, "B P K"] | None = None,
        grid: tuple[int, int] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Draw images in [0, 1] from factors, or from S and L alone, at the size that was encoded.

        Given with `factors`, `sparse` and `spatial` replace its own, so a token can be swapped or
        moved. Without factors, `grid` is the height and width in patches; it may be left out when
        the grid is square. They may be of any precision and on any device. Raises UserError when
        the pieces do not fit, MissingTokenizer when the model needs a MaskGIT-VQGAN that it was not
        given.
        """
        lowrank, grid = _lowrank(factors, sparse, spatial, grid, self.config.embed_dim)
        if isinstance(self.decoder, NoDecoder) and not self.learned_to_draw:
            raise MissingDecoder(
                "this model cannot draw: its training had no reconstruction term "
                "(objective.reconstruction_weight was 0)"
            )
        weights = next(self.decoder.parameters(), lowrank)  # none where there is no decoder
        lowrank = lowrank.to(weights.device, weights.dtype)
        return self.drawn(self.decoder(lowrank, grid), grid)

    def drawn(self, prediction: Tensor, grid: tuple[int, int]) -> Float[Tensor, "B C H W"]:
        """Images in [0, 1] from what a decoder says: the model's own, or another of its target."""
        if self.config.decoder.target == "pixels":
            return prediction.float().clamp(0, 1)
        pixels = self._tokenizer().decode(prediction.argmax(dim=2), grid)
        size = (grid[0] * self.config.patch_size, grid[1] * self.config.patch_size)
        return _resize(pixels, size).clamp(0, 1)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors, config.json and a model card into a folder, for
        `from_pretrained` and `stellar.load`. A README.md that is there stays as it is.

        A model that never learned to draw may lack its decoder; it is the same when it comes back.
        Raises SharingError when the folder cannot be written, or the decoder was left out.
        """
        from stellar.model.files import pretrained

        pretrained.save_pretrained(self, Path(at_home(folder)))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, revision: str | None = None, local_files_only: bool = False
    ) -> "Stellar":
        """A model from such a folder, or from a hub repository, as `you/pets` (`revision`: a
        branch, a tag or a commit; `local_files_only`: from the cache, without the network). Else
        it is `stellar.load`, which also takes the published names.

        Raises WeightsError with a sentence.
        """
        from stellar.model.files import pretrained

        return pretrained.from_pretrained(source, revision, local_files_only)

    def push_to_hub(self, repo: str, private: bool | None = None) -> str:
        """Write the same files into a hub repository, as `you/pets`, which is created if it is not
        there; its model card stays as it is. Returns the address of the commit.

        The token is that of `hf auth login` or HF_TOKEN. Raises SharingError with a sentence.
        """
        from stellar.model.files import pretrained

        return pretrained.push_to_hub(self, repo, private)

    @torch.no_grad()
    def codes(self, images: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B P"]:
        """The tokenizer's code of every patch: the target of a model that reconstructs codes."""
        tokenizer = self._tokenizer()
        height, width = self.encoder.grid(images)
        return tokenizer.codes(
            _resize(images, (height * tokenizer.factor, width * tokenizer.factor))
        )

    def _tokenizer(self) -> VQGAN:
        if self.tokenizer is None:
            raise MissingTokenizer(
                "this model reconstructs the codes of a MaskGIT-VQGAN, a file of its own: "
                "pass the path of maskgit-vqgan-imagenet-f16-256.bin "
                "(hub repository fun-research/TiTok) as the tokenizer"
            )
        return self.tokenizer


def check_model(model: object) -> None:
    """Raises UserError for what is no model of ours, as the name of one."""
    if not isinstance(model, Stellar):
        came = repr(model) if isinstance(model, str) else f"a {type(model).__name__}"
        raise UserError(
            f"expected a model, as stellar.load('stellar-scenes') gives one, got {came}"
        )


def _factorization(config: ModelConfig) -> nn.Module:
    """What gives S and L."""
    if not config.num_sparse_tokens:
        return Unfactorized()
    if config.slot_rounds:
        return SlotAttention(config.embed_dim, config.num_sparse_tokens, config.slot_rounds)
    return Factorization(config.embed_dim, config.spatial_temperature)


def _lowrank(
    factors: Factors | None,
    sparse: Tensor | None,
    spatial: Tensor | None,
    grid: tuple[int, int] | None,
    width: int,
) -> tuple[Float[Tensor, "B P D"], tuple[int, int]]:
    """Z and grid to draw from; S, L and grid checked against each other."""
    if factors is not None and not isinstance(factors, Factors):
        raise UserError(
            "reconstruct needs the factors that encode gives, or sparse and spatial by their "
            f"names, got a {type(factors).__name__}"
        )
    if factors is not None and sparse is None and spatial is None and grid is None:
        return factors.lowrank, factors.grid
    if factors is not None:
        given = replace(
            factors,
            sparse=factors.sparse if sparse is None else sparse,
            spatial=factors.spatial if spatial is None else spatial,
            grid=factors.grid if grid is None else grid,
        )
        sparse, spatial, grid = given.sparse, given.spatial, given.grid
    if sparse is None or spatial is None:
        raise UserError("reconstruct needs factors, or both sparse (B K D) and spatial (B P K)")
    _check_pieces(sparse, spatial, width)
    if grid is None:
        side = round(spatial.shape[1] ** 0.5)
        grid = (side, side)
    if not _is_grid(grid):
        raise UserError(f"grid must be (height, width) in patches, got {grid!r}")
    if grid[0] * grid[1] != spatial.shape[1] or spatial.shape[2] != sparse.shape[1]:
        raise UserError(
            f"spatial {tuple(spatial.shape)} must have a row for each patch of the grid {grid} "
            f"and a column for each of the {sparse.shape[1]} tokens; "
            "pass grid=(height, width) in patches when it is not square"
        )
    return spatial.to(sparse) @ sparse, grid


def _is_grid(grid: object) -> bool:
    """Whether it is two whole numbers of at least 1, or their symbols while torch traces."""
    return (
        isinstance(grid, tuple | list)
        and len(grid) == 2
        and all(hasattr(side, "__index__") and side > 0 for side in grid)
    )


def _check_pieces(sparse: Tensor, spatial: Tensor, width: int) -> None:
    """Raises UserError for what cannot be S and L of the same images."""
    for name, piece in (("sparse", sparse), ("spatial", spatial)):
        if not isinstance(piece, Tensor):
            raise UserError(
                f"{name} must be a tensor, got a {type(piece).__name__}; torch.tensor makes one of "
                "an array"
            )
    if (
        sparse.ndim != 3
        or spatial.ndim != 3
        or not spatial.shape[1]
        or sparse.shape[2] != width
        or sparse.shape[0] != spatial.shape[0]
    ):
        raise UserError(
            f"sparse must be (B K D) with D = {width}, and spatial (B P K) of as many images, with "
            f"at least one patch, got {tuple(sparse.shape)} and {tuple(spatial.shape)}"
        )


def _resize(images: Float[Tensor, "B 3 H W"], size: tuple[int, int]) -> Float[Tensor, "B 3 h w"]:
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode="bicubic", align_corners=False)
