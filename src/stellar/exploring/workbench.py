"""Models at work for the page: a picture's factors after the steps of an edit, what is drawn from
them, and searches with its tokens.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from stellar.config import Fit
from stellar.data.folder import Stamp
from stellar.errors import UserError
from stellar.evaluation.evaluators.reconstruction import psnr
from stellar.exploring.gallery import Gallery, NoPicture
from stellar.exploring.own_index import LARGEST, build_own_index, can_have_own_index
from stellar.exploring.steps import Step, as_python
from stellar.images import UnreadableImage, frame, one_batch, unit_range
from stellar.images.sizes import Sized, check_one_size, fitted
from stellar.model import Factors, Stellar
from stellar.model.fewer_tokens import by_mass
from stellar.model.files.fingerprint import fingerprint
from stellar.searching import Hit, Index, Query, Words
from stellar.searching.places import Box, Places, check_box, places
from stellar.searching.tables import NEEDS_LANCEDB, Contents, has_lancedb
from stellar.searching.vectors import unit
from stellar.storage import one_line

KEPT = 64
"""Pictures whose factors are kept, of each model."""
MOST_HITS = 100
FURTHER = (1, 4, 16)
"""Times as many hits are asked for, until enough of them may be shown."""
MOST_TEXTS, LONGEST_TEXT = 8, 200
"""Of a search by words."""


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


@dataclass(frozen=True)
class Wording:
    """How pictures are found by words."""

    words: Words
    texts: Callable[[Sequence[str]], Float32[np.ndarray, "q E"]]
    """What the tower of the words says of texts. Raises UserError where it cannot be loaded."""


class Workbench:
    """One model or two, the pictures, an index of them, and words for what is in it.

    Raises ExploreError for a model without tokens, models of different channels, and an index of
    another model, another fit or other pictures; InputError for a fit that gives pictures of
    several sizes.
    """

    def __init__(
        self,
        models: Sequence[Named],
        gallery: Gallery,
        fit: Fit = "crop",
        index: Index | None = None,
        wording: Wording | None = None,
    ) -> None:
        _check(models, fit, index)
        self.models, self.gallery = list(models), gallery
        self.fit: Fit = fit
        self._index, self._folder, self._wording = index, None, wording
        self._encoded: OrderedDict[tuple[str, int], tuple[Stamp | None, Encoded]] = OrderedDict()
        if index is not None:
            self._check_pictures(index)

    def close(self) -> None:
        """Removes an index that was made here."""
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def num_indexed(self) -> int | None:
        """Pictures of the index; None before there is one."""
        return None if self._index is None else len(self._index)

    @property
    def knows_words(self) -> bool:
        """Whether pictures can be found by words."""
        return self._wording is not None

    @property
    def why_no_search(self) -> str | None:
        """A sentence, where nothing can be searched for."""
        if self._index is not None:
            return None
        if can_have_own_index(self.gallery.source):
            return None if has_lancedb() else f"Searching {NEEDS_LANCEDB}."
        return (
            f"There is no index of these pictures. Up to {LARGEST:,} pictures of a folder get one "
            "here; for others, make one with stellar embed and stellar index, and start stellar "
            "explore with --index."
        )

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
        factors = self._edited(key, number, steps)
        if model.can_draw:
            with torch.inference_mode():
                drawn = model.reconstruct(factors).cpu()
            drawing, decibels = drawn[0], psnr(unit_range(one_batch([image])), drawn).item()
        where = places(factors.maps[0].float().cpu().numpy())
        name, shown = self.gallery.name(key), frame(size, self.fit)
        return Look(name, size, shown, image, factors, where, drawing, decibels)

    def as_python(self, key: str, number: int, steps: Sequence[Step]) -> str:
        """The lines that draw the edited picture. Raises as `look` does."""
        self._edited(key, number, steps)
        opening = self.gallery.opening
        return as_python(self.models[number].loading, self.fit, opening(key), steps, opening)

    def search(
        self,
        key: str,
        steps: Sequence[Step],
        tokens: Sequence[int],
        without: Sequence[int] = (),
        box: Any = None,
        count: int = 12,
    ) -> list[Hit]:
        """Other pictures with all of some tokens that the first model sees in this one, as they are
        after an edit, or like all that are left of them where none are named; in a box x0, y0, x1,
        y1, where one is given. Raises ExploreError without an index, and UserError for what is no
        box.
        """
        if (why := self.why_no_search) is not None:
            raise ExploreError(why)
        box = _checked(count, box)
        index, factors = self._own_or_given(), self._edited(key, 0, steps)
        every = _vectors(factors)
        if any(not 0 <= token < len(every) for token in (*tokens, *without)):
            raise ExploreError(f"the tokens are 0 to {len(every) - 1}")
        wanted = every[list(tokens)] if tokens else _whole(factors, index.contents)
        query = Query(wanted, every[list(without)], box)
        return self._shown(partial(index.find, query), count, key)

    def search_words(self, texts: Sequence[str], box: Any = None, count: int = 12) -> list[Hit]:
        """Pictures that have something that each of some texts says; in a box, where one is given.
        Raises ExploreError where no words are known, what the tower raises, and UserError for what
        is no box.
        """
        if self._wording is None:
            raise ExploreError(
                "the index knows no words; learn some with stellar align, give them to stellar "
                "index, and start stellar explore with --index"
            )
        texts = [text.strip() for text in texts if text.strip()]
        if not 1 <= len(texts) <= MOST_TEXTS or max(map(len, texts)) > LONGEST_TEXT:
            raise ExploreError(
                f"a search by words has 1 to {MOST_TEXTS} texts, of at most {LONGEST_TEXT} letters"
            )
        box, words = _checked(count, box), self._wording.words
        index, vectors = self._own_or_given(), self._wording.texts(texts)

        def find(number: int) -> list[Hit]:
            return index.search_words(vectors, words, where=box, count=number)

        return self._shown(find, count)

    def key_of(self, path: str) -> str | None:
        """Of the picture that a hit names, where the gallery has it; scenes were indexed as .png
        files.
        """
        return self.gallery.key_of(path) or self.gallery.key_of(path.removesuffix(".png"))

    def tokens_of(self, hit: Hit) -> list[int]:
        """The tokens that matched, as a look numbers them: an index of the strongest tokens counts
        them by their strength. None for a picture that cannot be shown.
        """
        key, numbers = self.key_of(hit.path), dict.fromkeys(match.token for match in hit.matches)
        if key is None:
            return []
        assert self._index is not None
        if not self._index.contents.keeps_strongest:
            return list(numbers)
        try:
            ranked = by_mass(self.encoded(key, 0).factors.spatial)[0].tolist()
        except (NoPicture, UnreadableImage):
            return []
        return [ranked[number] for number in numbers]

    def _check_pictures(self, index: Index) -> None:
        """Raises ExploreError for an index that has none of the pictures."""
        if any(self.key_of(path) for path in index.paths):
            return
        first, indexed = one_line(self.gallery.name("0")), one_line(index.paths[0])
        raise ExploreError(
            f"none of the pictures of {self.gallery.title} ({first}, ...) is in {index.folder} "
            f"({indexed}, ...); explore the pictures that it was made of, or index an embedding of "
            "these"
        )

    def _shown(
        self, find: Callable[[int], list[Hit]], count: int, asked: str | None = None
    ) -> list[Hit]:
        """The best hits that may be shown, so many of them if there are."""
        shown: list[Hit] = []
        for times in FURTHER:
            hits = find(times * (count + 1))
            shown = [hit for hit in hits if self._may_show(hit, asked)]
            if len(shown) >= count or len(hits) < times * (count + 1):
                break
        return shown[:count]

    def _may_show(self, hit: Hit, asked: str | None = None) -> bool:
        """Not the picture that was asked with, and no link out of the folder."""
        key = self.key_of(hit.path)
        return key is None or (key != asked and self.gallery.is_inside(key))

    def _edited(self, key: str, number: int, steps: Sequence[Step]) -> Factors:
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

    def _own_or_given(self) -> Index:
        if self._index is None:
            self.close()  # what is left of an attempt that failed
            self._folder = TemporaryDirectory(prefix="stellar-explore-")
            self._index = build_own_index(
                self.models[0].model, self.gallery.source, self.fit, self._folder.name
            )
        return self._index


def _checked(count: int, box: Any) -> Box | None:
    """Where a search looks. Raises ExploreError for another count, and UserError for what is no
    box.
    """
    if not 1 <= count <= MOST_HITS:
        raise ExploreError(f"a search gives 1 to {MOST_HITS} pictures, got a count of {count}")
    return None if box is None else check_box(box)


def _vectors(factors: Factors) -> Float32[np.ndarray, "K D"]:
    """The tokens of one picture, as searches compare them."""
    return unit(factors.sparse[0].half().cpu().numpy())


def _whole(factors: Factors, contents: Contents) -> Float32[np.ndarray, "k D"]:
    """The tokens that make up one picture, as many as an index keeps of each. A token that was
    removed is still in S, with a map of zeros.
    """
    if contents.keeps_strongest:
        factors = factors.strongest(contents.num_tokens)
    left = factors.spatial[0].amax(dim=0) > 0
    return _vectors(factors)[left.cpu().numpy()]


def _check(models: Sequence[Named], fit: Fit, index: Index | None) -> None:
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
    if index is None:
        return
    if (found := fingerprint(models[0].model)) != index.contents.model["model_sha256"]:
        raise ExploreError(
            f"{index.folder} was made with another model "
            f"({index.contents.model['model_sha256'][:12]}) than {models[0].name} ({found[:12]}); "
            "explore with that one, or index an embedding of this one"
        )
    if index.contents.model["fit"] != fit:
        raise ExploreError(
            f"the pictures of {index.folder} came to their size by "
            f"--fit {index.contents.model['fit']}, not {fit}; explore with that"
        )
