"""Models at work for the page: a picture's factors after the steps of an edit, and what is drawn
from them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.config import Fit
from stellar.data.folder import Stamp
from stellar.errors import UserError
from stellar.evaluation.evaluators.reconstruction import psnr
from stellar.exploring.gallery import Gallery
from stellar.exploring.steps import Step, as_python
from stellar.images import frame, one_batch, unit_range
from stellar.images.sizes import Sized, check_one_size, fitted
from stellar.model import Factors, Stellar
from stellar.searching.places import Places, places

KEPT = 64
"""Pictures whose factors are kept, of each model."""


class ExploreError(UserError):
    """Models, pictures and an index that do not go together, or a question that has no answer."""


@dataclass(frozen=True)
class Named:
    """A model, its name, and what `stellar.load` takes to load it again."""

    name: str
    model: Stellar
    place: str | None = None
    """Where that is not the name."""
    tokenizer: str | None = None
    revision: str | None = None

    @property
    def loading(self) -> str:
        """The call, in Python."""
        options = {"tokenizer": self.tokenizer, "revision": self.revision}
        given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        return f"stellar.load({', '.join([repr(self.place or self.name), *given])})"


class Encoded(NamedTuple):
    """A picture as a model sees it."""

    image: Sized
    factors: Factors
    size: tuple[int, int]
    """Width and height of the picture itself."""


@dataclass(frozen=True)
class Look:
    """A picture in the eyes of a model, after an edit."""

    name: str
    size: tuple[int, int]
    """Width and height of the picture itself."""
    frame: tuple[int, int, int, int]
    """What the model saw of it: left, top, width and height."""
    image: Sized
    """What the model saw, as it saw it."""
    factors: Factors
    """Of a batch of one, edited."""
    where: Places
    drawing: Float[Tensor, "C H W"] | None
    """None where the model does not draw."""
    psnr: float | None
    """In dB, to what the model saw."""


class Workbench:
    """One model or two, and the pictures.

    Raises ExploreError for a model without tokens, and models of different channels; InputError for
    a fit that gives pictures of several sizes.
    """

    def __init__(self, models: Sequence[Named], gallery: Gallery, fit: Fit = "crop") -> None:
        _check(models, fit)
        self.models, self.gallery = list(models), gallery
        self.fit: Fit = fit
        self._encoded: OrderedDict[tuple[str, int], tuple[Stamp | None, Encoded]] = OrderedDict()

    def encoded(self, key: str, number: int) -> Encoded:
        """A file that was changed since is encoded anew. Raises NoPicture and UnreadableImage."""
        if not 0 <= number < len(self.models):
            raise ExploreError(f"there is no model {number}")
        place, stamp = (key, number), self.gallery.stamp(key)
        before, encoded = self._encoded.get(place, (None, None))
        if encoded is None or before != stamp:
            model = self.models[number].model
            pixels = self.gallery.read(key, model.config.in_chans)
            image = fitted(pixels, self.fit, model.config)
            with torch.inference_mode():
                factors = model.encode(one_batch([image]).to(model.device))
            encoded = Encoded(image, factors, (pixels.shape[2], pixels.shape[1]))
            self._encoded[place] = stamp, encoded
            if len(self._encoded) > KEPT * len(self.models):
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(place)
        return encoded

    def look(self, key: str, number: int, steps: Sequence[Step] = ()) -> Look:
        """Raises NoPicture, UnreadableImage and EditError, and ExploreError for a model or token
        that there is none of.
        """
        image, _, size = self.encoded(key, number)
        model, drawing, decibels = self.models[number].model, None, None
        factors = self.edited(key, number, steps)
        if model.can_draw:
            with torch.inference_mode():
                drawn = model.reconstruct(factors).cpu()
            drawing, decibels = drawn[0], psnr(unit_range(one_batch([image])), drawn).item()
        where = places(factors.maps[0].float().cpu().numpy())
        name, shown = self.gallery.name(key), frame(size, self.fit)
        return Look(name, size, shown, image, factors, where, drawing, decibels)

    def as_python(self, key: str, number: int, steps: Sequence[Step]) -> str:
        """The lines that draw the edited picture. Raises as `look` does."""
        self.edited(key, number, steps)
        opening = self.gallery.opening
        return as_python(self.models[number].loading, self.fit, opening(key), steps, opening)

    def edited(self, key: str, number: int, steps: Sequence[Step] = ()) -> Factors:
        """Of a batch of one. Raises as `look` does."""
        factors = self.encoded(key, number).factors
        with torch.inference_mode():
            for step in steps:
                factors = step.done(factors, partial(self._token, number))
        return factors

    def _token(self, number: int, key: str, token: int) -> Float[Tensor, "D"]:
        sparse = self.encoded(key, number).factors.sparse[0]
        if not 0 <= token < len(sparse):
            raise ExploreError(f"the tokens are 0 to {len(sparse) - 1}, got token {token}")
        return sparse[token]


def _check(models: Sequence[Named], fit: Fit) -> None:
    channels = models[0].model.config.in_chans
    for each in models:
        config = each.model.config
        if not config.num_sparse_tokens:
            raise ExploreError(f"{each.name} has no tokens to look at; choose a model of STELLAR")
        if config.in_chans != channels:
            raise ExploreError(
                f"{models[0].name} is for pictures of {channels} channels, {each.name} for "
                f"{config.in_chans}; compare models of the same pictures"
            )
    check_one_size(fit)
