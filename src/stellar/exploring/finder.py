"""Pictures that are found: with tokens as the page edits them, with concepts, or with words."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from stellar.config import Fit, check_count
from stellar.exploring.gallery import NoPicture
from stellar.exploring.overview import Overview
from stellar.exploring.own_index import LARGEST, build_own_index, can_have_own_index
from stellar.exploring.steps import Step
from stellar.exploring.vectors import token_vectors
from stellar.exploring.workbench import ExploreError, Named, Workbench
from stellar.images import UnreadableImage
from stellar.model import Factors
from stellar.model.fewer_tokens import by_mass
from stellar.model.files.fingerprint import fingerprint
from stellar.searching import Hit, Index, Query, Words
from stellar.searching.places import Box, check_box
from stellar.searching.tables import CONCEPTS, NEEDS_LANCEDB, Contents, has_lancedb
from stellar.storage import one_line

MOST_HITS = 100
FURTHER = (1, 4, 16)
"""Times as many hits are asked for, until enough of them may be shown."""
MOST_TEXTS, LONGEST_TEXT = 8, 200
"""Of a search by words."""


@dataclass(frozen=True)
class Wording:
    """How pictures are found by words."""

    words: Words
    texts: Callable[[Sequence[str]], Float32[np.ndarray, "q E"]]
    """What the tower of the words says of texts. Raises UserError where it cannot be loaded."""


class Sought(NamedTuple):
    """What a picture has to have: tokens of the one that is looked at, and concepts, each by its
    number.
    """

    tokens: Sequence[int] = ()
    concepts: Sequence[int] = ()


NOTHING = Sought()


class Finder:
    """Searches by what the first model of a workbench sees, in an index of its pictures: the given
    one, or for few pictures one of its own, which is made for the first search, and has the
    concepts of a given file, where there is one (kept_concepts.py).

    Raises ExploreError for an index of another model, another fit or other pictures, and
    ConfigError for a count of concepts below 1.
    """

    def __init__(
        self,
        workbench: Workbench,
        index: Index | None = None,
        wording: Wording | None = None,
        num_concepts: int | None = None,
        kept_concepts: Path | None = None,
    ) -> None:
        if num_concepts is not None:
            check_count(num_concepts, "concepts")
        self.workbench, self.num_concepts = workbench, num_concepts
        self._index, self._folder, self._wording = index, None, wording
        self._kept_concepts = kept_concepts
        if index is not None:
            _check(index, workbench.models[0], workbench.fit)
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
        if can_have_own_index(self.workbench.gallery.source):
            return None if has_lancedb() else f"Searching {NEEDS_LANCEDB}."
        return (
            f"There is no index of these pictures. Up to {LARGEST:,} pictures of a folder get one "
            "here; for others, make one with stellar embed and stellar index, and start stellar "
            "explore with --index."
        )

    @cached_property
    def overview(self) -> Overview:
        """What is in the pictures at all. Raises ExploreError without an index."""
        return Overview(self._searchable(), self.num_concepts, self.may_show)

    def concepts_of(self, factors: Factors) -> list[int | None] | None:
        """The concept of each token of a picture, as the first model sees it; None before the
        overview was asked for.
        """
        return self.overview.of_each_token(factors) if "overview" in vars(self) else None

    @property
    def can_name(self) -> bool:
        """Whether concepts may get names: where their index is not gone with the page."""
        return self._index is not None and self._folder is None

    def name_concept(self, number: int, name: str) -> list[str]:
        """Call a concept so from now on, in its index, too; an empty name takes its name away. The
        names of all. Raises ExploreError where no names last, SearchError for what is no name, and
        NotWritten.
        """
        if not self.can_name:
            raise ExploreError(
                "names of concepts last in an index; make one with stellar embed and stellar "
                "index, and start stellar explore with --index"
            )
        kept = self._searchable().keep_concepts(self.overview.concepts, {number: name})
        self.overview.call(kept.names)
        return list(kept.names)

    def search(
        self,
        key: str | None,
        steps: Sequence[Step] = (),
        wanted: Sought = NOTHING,
        unwanted: Sought = NOTHING,
        box: Any = None,
        count: int = 12,
    ) -> list[Hit]:
        """Pictures with all that is wanted, and as little of what is not as can be; where nothing
        is wanted, those that are like the whole of the one with this key, which is never found
        itself. Its tokens are meant as they are after an edit. Without a key, there are only
        concepts to look for. What is found lies in a box x0, y0, x1, y1, where one is given. Raises
        ExploreError without an index, and for what there is none of, and UserError for what is no
        box.
        """
        box = _checked(count, box)
        if key is None and (wanted.tokens or unwanted.tokens or not wanted.concepts):
            raise ExploreError("a search needs a picture, or concepts that are wanted, not tokens")
        index = self._searchable()
        factors = None if key is None else self.workbench.edited(key, 0, steps)
        sought, avoided = self._meant(wanted, factors), self._meant(unwanted, factors)
        if len(sought) == 0:
            assert factors is not None
            sought = _whole(factors, index.contents)
        counted, against = bool(wanted.concepts), bool(unwanted.concepts)
        query = Query(sought, avoided, box, counted=counted, counted_against=against)
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
        index, vectors = self._searchable(), self._wording.texts(texts)

        def find(number: int) -> list[Hit]:
            return index.search_words(vectors, words, where=box, count=number)

        return self._shown(find, count)

    def key_of(self, path: str) -> str | None:
        """Of the picture that a hit names, where the gallery has it; scenes were indexed as .png
        files.
        """
        gallery = self.workbench.gallery
        return gallery.key_of(path) or gallery.key_of(path.removesuffix(".png"))

    def may_show(self, hit: Hit) -> bool:
        """Whether it is no link out of the folder."""
        key = self.key_of(hit.path)
        return key is None or self.workbench.gallery.is_inside(key)

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
            ranked = by_mass(self.workbench.encoded(key, 0).factors.spatial)[0].tolist()
        except (NoPicture, UnreadableImage):
            return []
        return [ranked[number] for number in numbers]

    def _check_pictures(self, index: Index) -> None:
        """Raises ExploreError for an index that has none of the pictures."""
        if any(self.key_of(path) for path in index.paths):
            return
        gallery = self.workbench.gallery
        first, indexed = one_line(gallery.name("0")), one_line(index.paths[0])
        raise ExploreError(
            f"none of the pictures of {gallery.title} ({first}, ...) is in {index.folder} "
            f"({indexed}, ...); explore the pictures that it was made of, or index an embedding of "
            "these"
        )

    def _meant(self, sought: Sought, factors: Factors | None) -> Float32[np.ndarray, "q D"]:
        """Vectors of tokens and concepts. Raises ExploreError for a number that none has."""
        width = self.workbench.models[0].model.config.embed_dim
        found = [np.zeros((0, width), np.float32)]
        if sought.tokens:
            assert factors is not None
            found.append(_some(token_vectors(factors), sought.tokens, "tokens"))
        if sought.concepts:
            found.append(_some(self.overview.centres, sought.concepts, "concepts"))
        return np.concatenate(found)

    def _shown(
        self, find: Callable[[int], list[Hit]], count: int, asked: str | None = None
    ) -> list[Hit]:
        """The best hits that may be shown, but for the picture that was asked with; so many of them
        if there are.
        """
        shown: list[Hit] = []
        for times in FURTHER:
            hits = find(times * (count + 1))
            shown = [
                hit for hit in hits
                if self.may_show(hit) and (asked is None or self.key_of(hit.path) != asked)
            ]  # fmt: skip
            if len(shown) >= count or len(hits) < times * (count + 1):
                break
        return shown[:count]

    def _searchable(self) -> Index:
        """Raises ExploreError where there is no index, and none can be made."""
        if (why := self.why_no_search) is not None:
            raise ExploreError(why)
        if self._index is None:
            self.close()  # what is left of an attempt that failed
            self._folder = TemporaryDirectory(prefix="stellar-explore-")
            bench = self.workbench
            self._index = build_own_index(
                bench.models[0].model, bench.gallery.source, bench.fit, self._folder.name
            )
            if self._kept_concepts is not None:
                shutil.copyfile(self._kept_concepts, self._index.folder / CONCEPTS)
        return self._index


def _checked(count: int, box: Any) -> Box | None:
    """Where a search looks. Raises ExploreError for another count, and UserError for what is no
    box.
    """
    if not 1 <= count <= MOST_HITS:
        raise ExploreError(f"a search gives 1 to {MOST_HITS} pictures, got a count of {count}")
    return None if box is None else check_box(box)


def _some(
    vectors: Float32[np.ndarray, "n D"], numbers: Sequence[int], what: str
) -> Float32[np.ndarray, "q D"]:
    if any(not 0 <= number < len(vectors) for number in numbers):
        raise ExploreError(f"the {what} are 0 to {len(vectors) - 1}")
    return vectors[list(numbers)]


def _whole(factors: Factors, contents: Contents) -> Float32[np.ndarray, "k D"]:
    """The tokens that make up one picture, as many as an index keeps of each. A token that was
    removed is still in S, with a map of zeros.
    """
    if contents.keeps_strongest:
        factors = factors.strongest(contents.num_tokens)
    left = factors.spatial[0].amax(dim=0) > 0
    return token_vectors(factors)[left.cpu().numpy()]


def _check(index: Index, named: Named, fit: Fit) -> None:
    """Raises ExploreError for an index of another model, or another fit."""
    known, found = index.contents.model, fingerprint(named.model)
    if found != known["model_sha256"]:
        raise ExploreError(
            f"{index.folder} was made with another model ({known['model_sha256'][:12]}) than "
            f"{named.name} ({found[:12]}); explore with that one, or index an embedding of this one"
        )
    if known["fit"] != fit:
        raise ExploreError(
            f"the pictures of {index.folder} came to their size by --fit {known['fit']}, not "
            f"{fit}; explore with that"
        )
