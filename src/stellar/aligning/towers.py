"""Models of pictures and texts in one space: CLIP, SigLIP, and their like in transformers.

Pictures are prepared here, by the numbers of the tower's `preprocessor_config.json`, since
transformers needs torchvision for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from stellar.errors import MissingPackage, UserError, first_line
from stellar.images.sizes import framed, resize
from stellar.json_text import parse_json
from stellar.precision import choose_device
from stellar.storage import at_home

SQUASHED = ("siglip", "siglip2")
"""Families that see the whole picture, its aspect ratio not kept; others its middle."""


class TowerError(UserError):
    """A tower that cannot be loaded."""


@runtime_checkable
class Tower(Protocol):
    """What a model of pictures and texts is asked."""

    name: str

    def pictures(self, pictures: Sequence[Float32[Tensor, "3 _ _"]]) -> Float[Tensor, "n E"]:
        """Of pictures in [0, 1], of any sizes; of length 1."""
        ...

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n E"]:
        """Of length 1."""
        ...

    def fill(self) -> Float32[Tensor, "3"]:
        """The colour that says nothing: what becomes zero."""
        ...


@dataclass(frozen=True)
class Preparation:
    """How pictures come to a tower."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    squash: bool


class TransformersTower:
    """One of transformers' models that have `get_image_features` and `get_text_features`."""

    def __init__(self, name: str, model: Any, tokenizer: Any, preparation: Preparation) -> None:
        self.name, self._model, self._tokenizer = name, model, tokenizer
        self._preparation = preparation

    @torch.inference_mode()
    def pictures(self, pictures: Sequence[Float32[Tensor, "3 _ _"]]) -> Float[Tensor, "n E"]:
        batch = torch.stack([self._prepared(picture) for picture in pictures])
        found = self._model.get_image_features(pixel_values=batch.to(self._model.device))
        return F.normalize(_pooled(found).float(), dim=1).cpu()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "n E"]:
        """Raises UserError for a text that is no Unicode."""
        _check_texts(texts)
        limit = self._model.config.text_config.max_position_embeddings
        # SigLIP was trained on texts that are filled up to its length; CLIP's end with a sign.
        tokens = self._tokenizer(
            list(texts), padding="max_length" if self._preparation.squash else True,
            max_length=limit, truncation=True, return_tensors="pt",
        )  # fmt: skip
        names = ("input_ids",) if self._preparation.squash else ("input_ids", "attention_mask")
        found = self._model.get_text_features(
            **{name: tokens[name].to(self._model.device) for name in names}
        )
        return F.normalize(_pooled(found).float(), dim=1).cpu()

    def fill(self) -> Float32[Tensor, "3"]:
        return torch.tensor(self._preparation.mean)

    def _prepared(self, picture: Float32[Tensor, "3 h w"]) -> Float32[Tensor, "3 s s"]:
        size = self._preparation.size
        picture = framed(picture, "squash" if self._preparation.squash else "crop")
        mean, std = (
            torch.tensor(values)[:, None, None]
            for values in (self._preparation.mean, self._preparation.std)
        )
        return (resize(picture, size, size) - mean) / std


def load_tower(name: str | Path, device: torch.device | str = "cpu") -> TransformersTower:
    """A folder, or a name on the hub, from where it is downloaded once. Raises TowerError, and
    MissingPackage without transformers.
    """
    name = at_home(name)
    if (name.startswith((".", "/")) or name.count("/") > 1) and not Path(name).exists():
        raise TowerError(
            f"expected a folder with a model of pictures and texts, but {name} does not exist"
        )
    if Path(name).is_dir():  # words name their tower, and may be asked with from any folder
        name = str(Path(name).resolve())
    try:
        transformers = import_module("transformers")
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "words need transformers: pip install 'stellar-vision[words]'"
        ) from error
    # Loading takes a moment; its bar would be drawn among what is said, also where that is nothing.
    transformers.utils.logging.disable_progress_bar()
    try:
        model = transformers.AutoModel.from_pretrained(name)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise TowerError(
            f"{name} cannot be loaded as a model of pictures and texts "
            f"({first_line(error)}); name a folder, or a hub repository such as "
            "openai/clip-vit-base-patch32 or google/siglip-base-patch16-224"
        ) from error
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise TowerError(
            f"{name} is a {model.config.model_type}, which has not both pictures and texts; name "
            "one such as openai/clip-vit-base-patch32"
        )
    return TransformersTower(
        name, model.to(choose_device(device)).eval(), tokenizer, _preparation(name, model.config)
    )


def _preparation(name: str, config: Any) -> Preparation:
    """By the file beside the weights. Raises TowerError."""
    squash, described = config.model_type in SQUASHED, _described(name)
    try:
        size = config.vision_config.image_size
        means, stds = described["image_mean"], described["image_std"]
        mean, std = ((float(r), float(g), float(b)) for r, g, b in (means, stds))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TowerError(
            f"{name} does not say how pictures are prepared for it ({error})"
        ) from error
    return Preparation(size, mean, std, squash)


def _described(name: str) -> Mapping[str, Any]:
    """`preprocessor_config.json`, or the part about pictures of `processor_config.json`. Raises
    TowerError.
    """
    from transformers.utils.hub import cached_file

    for file, key in (
        ("preprocessor_config.json", None),
        ("processor_config.json", "image_processor"),
    ):
        try:
            path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
            content = {} if path is None else parse_json(Path(path).read_text("utf-8"))
            found = content if key is None else content.get(key)
        except (OSError, ValueError, AttributeError) as error:
            raise TowerError(
                f"the {file} of {name} cannot be read ({first_line(error)}); copy or download it "
                "again"
            ) from error
        if found:
            return found
    raise TowerError(f"{name} has no preprocessor_config.json; it says how pictures are prepared")


def _check_texts(texts: Sequence[str]) -> None:
    """Raises UserError for one with half of a character, as bytes in a shell that are no UTF-8."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"a text to search by is made of whole characters, got {text!r}; type it again"
            ) from error


def _pooled(found: Any) -> Tensor:
    """The vectors themselves, which newer versions of transformers wrap."""
    return found if isinstance(found, Tensor) else found.pooler_output
