"""An index that is searched: `stellar.open_index(path).search(...)`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from numbers import Integral
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from stellar.config import check_count, nearest
from stellar.model import Stellar
from stellar.searching.asked import listed, pixel, vectors
from stellar.searching.concepts import (
    EXAMPLES,
    NUM_CONCEPTS,
    Concept,
    Concepts,
    concepts_around,
    find_concepts,
)
from stellar.searching.example import Example, encoded, token_at
from stellar.searching.hits import Hit, hits
from stellar.searching.kept_concepts import KeptConcepts, keep, read_concepts
from stellar.searching.looking import best_pictures
from stellar.searching.places import Box, check_box, parse_place
from stellar.searching.rows import Rows
from stellar.searching.scoring import Query
from stellar.searching.tables import GROWING, WHOLE, WORDS, SearchError, read_contents
from stellar.searching.vectors import unit
from stellar.searching.words import Words, as_words, read_words
from stellar.storage import at_home, one_line

MOST_SPELT = 10_000
"""Paths that a mistyped one is compared with, letter by letter: of more, none is suggested."""
Unwanted = tuple[str, int] | str | int
"""A token, by its picture's path and its number; a concept that is kept, by its name or number."""


class Index:
    """Pictures and their tokens, as `open_index` found them on the disk."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.folder, self.contents = rows, rows.folder, rows.contents

    def __len__(self) -> int:
        """Pictures."""
        return self.contents.num_pictures

    @property
    def approximate(self) -> bool:
        """Whether searches look at a part of the tokens, unless they are asked to be exact."""
        return self.contents.is_approximate

    @property
    def paths(self) -> list[str]:
        """Of all pictures."""
        return self.rows.paths

    def search(
        self,
        like: str | Path | Example | None = None,
        token: Iterable[int] = (),
        at: Iterable[float] | None = None,
        without: Iterable[Unwanted] = (),
        where: str | Box | None = None,
        count: int = 10,
        model: Stellar | None = None,
        exact: bool = False,
        concept: str | int | Iterable[str | int] = (),
    ) -> list[Hit]:
        """The pictures that are most like a picture, or like some of its tokens, or have some
        concepts that are kept; best first.

        `like` is a picture's path in the index, with `model` a file, or what `example` made of
        either. `token` are the numbers of its tokens that all have to be found; `at` adds the token
        whose map is largest at a pixel (x, y); with neither, all of its tokens are compared with
        all of each picture's. `concept` are the names or numbers of concepts that all have to be
        found, too. `without` are tokens (path, number) and concepts that are not wanted. `where` is
        the place where what is found has to lie, by its name or as a box (places.py). scoring.py
        says what the score is.

        Raises SearchError for a path that is not in the index, a token or a concept that there is
        none of, another model than the index's, of an example as well, a model beside an example,
        and where nothing is wanted; UserError for what is no place, and a count below 1.
        """
        numbers = listed(token, "token must be a list of tokens, as [3] is one")
        one = isinstance(concept, str | Integral)
        named = [concept] if one else listed(concept, "concept must be names or numbers")
        point = None if at is None else pixel(at)
        if like is None:
            if numbers or point is not None:
                raise SearchError("token and at are of a picture; name it with like=")
            if not named:
                raise SearchError("a search needs a picture to go by, like=, or a concept")
            query = self._query(self._centres(named), without, where, counted=True)
            return self.find(query, count, exact)
        example = self._by_example(like, model)
        if point is not None:
            numbers.append(token_at(example, point))
        if named and not numbers:
            raise SearchError("beside a concept, name a token of the picture to go by")
        wanted = [example.token(number) for number in numbers]
        asked = np.concatenate([wanted, self._centres(named)]) if wanted else example.sparse
        query = self._query(asked, without, where, counted=len(named) > 0)
        return self.find(query, count, exact)

    def search_words(
        self,
        texts: Float32[np.ndarray, "q E"],
        words: Words | str | Path,
        without: Iterable[Unwanted] = (),
        where: str | Box | None = None,
        count: int = 10,
        exact: bool = False,
    ) -> list[Hit]:
        """The pictures that have something that each of some texts says, as a tower has them
        (aligning/towers.py). `words` are those of the tower, or their file; the rest is as in
        `search`. Raises SearchError also for words of another model.
        """
        known = as_words(words)
        texts = vectors(texts, f"the texts of {known.origin.tower}", known.width)
        return self.find(self._query(texts, without, where, known), count, exact)

    def find(self, query: Query, count: int = 10, exact: bool = False) -> list[Hit]:
        """The pictures that answer a query best. Its vectors may be of any length, in lists, arrays
        or tensors. Raises SearchError for those of another shape, for words of another model, and
        where nothing is wanted; UserError for a count below 1, and for a box that is none.
        """
        check_count(count, "count")
        return hits(best_pictures(self.rows, self._checked(query), count, exact), self.rows)

    def concepts(
        self, count: int | None = None, examples: int = EXAMPLES, seed: int | None = None
    ) -> Concepts:
        """What is in the pictures, without asking: all tokens in groups that are alike
        (concepts.py), with so many examples of each. A `Query` by a concept's centre finds more.

        With neither count nor seed, these are the concepts that the index keeps, as they are in its
        pictures now; where it keeps none, and with either, `count` of them are found, by default
        24. The same seed, by default 0, gives the same. Raises ConfigError for a count below 1, and
        for what is no seed, and SearchError for a damaged file of kept ones.
        """
        if count is None and seed is None and (kept := self.kept_concepts) is not None:
            return kept.naming(concepts_around(self.rows, kept.centres, examples))
        count = NUM_CONCEPTS if count is None else count
        return find_concepts(self.rows, count, examples, 0 if seed is None else seed)

    def keep_concepts(
        self,
        concepts: Concepts | Sequence[Concept],
        names: Mapping[int, str] | Mapping[str, str] | None = None,
    ) -> KeptConcepts:
        """From now on these are the index's concepts, some of them with other names, by their
        numbers or old names; an empty one takes a name away. Their file is in the folder of the
        index, so they last when pictures come in or go.

        Raises SearchError for what is no name, or another one's, for a concept that there is none
        of, and where others are kept that have names, which would be forgotten; NotWritten.
        """
        return keep(self.folder, self.contents.model, concepts, names or {})

    @property
    def kept_concepts(self) -> KeptConcepts | None:
        """Those that were kept. Raises SearchError for a damaged file, and for another model's."""
        return read_concepts(self.folder, self.contents.model)

    @property
    def words(self) -> Words | None:
        """The map of words that was put into the index. Raises SearchError for a damaged one, and
        another model's.
        """
        file = self.folder / WORDS
        if not file.exists():
            return None
        words = read_words(file)
        words.check(self.contents.model)
        return words

    def example(self, picture: str | Path, model: Stellar | None = None) -> Example:
        """A picture to search by: one of the index, by its path there or as that is printed; with a
        model a file, where it is there. Raises SearchError.
        """
        if not isinstance(picture, str | Path):
            raise SearchError(
                f"expected the path of a picture, got {type(picture).__name__}; for vectors of "
                "your own there is find"
            )
        path = str(picture)
        if not path:
            raise SearchError("expected the path of a picture, got ''")
        if model is not None and (
            Path(at_home(picture)).is_file() or path not in self.rows.numbers
        ):
            return encoded(Path(at_home(picture)), model, self.contents)
        if path not in self.rows.numbers:
            path = next((known for known in self.rows.paths if one_line(known) == path), path)
        if path not in self.rows.numbers:
            hint = _meant(path, self.rows) or "; to search by a file, give the model as well"
            raise SearchError(f"{path} is not in {self.folder}{hint}")
        number = np.array([self.rows.numbers[path]])
        (row,), (sparse,), (maps,) = (
            self.rows.some(number), self.rows.sparse(number), self.rows.maps(number),
        )  # fmt: skip
        of_all = self.contents.model
        return Example(
            path, unit(sparse), maps, row.size, of_all["fit"], row.thumbnail, of_all["model_sha256"]
        )

    def _by_example(self, like: str | Path | Example, model: Stellar | None) -> Example:
        """What is searched by. Raises SearchError also for a given example of another model, and a
        model beside one.
        """
        if not isinstance(like, Example):
            return self.example(like, model)
        if model is not None:
            raise SearchError(
                "a model is for a file to search by; an example has its tokens already, so leave "
                "the model out"
            )
        like.check(self.contents)
        return like

    def _checked(self, query: Query) -> Query:
        """As the index can answer it: vectors of its width, of length 1, and a box of numbers."""
        if not isinstance(query, Query):
            raise SearchError(f"expected a stellar.searching.Query, got {type(query).__name__}")
        width = self.contents.model["shapes"]["tokens"][1]
        if query.words is not None:
            query.words.check(self.contents.model)
        wanted = vectors(query.wanted, "wanted", query.words.width if query.words else width)
        if len(wanted) == 0:
            raise SearchError("a query needs at least one wanted vector, got none")
        unwanted = vectors(query.unwanted, "unwanted", width)
        box = None if query.box is None else check_box(query.box)
        return replace(query, wanted=unit(wanted), unwanted=unit(unwanted), box=box)

    def _query(
        self,
        wanted: Float32[np.ndarray, "q E"],
        without: Iterable[Unwanted],
        where: str | Box | None,
        words: Words | None = None,
        counted: bool = False,
    ) -> Query:
        expected = (
            "without must be a list of tokens (path, number) and concepts, as "
            "[('photo.jpg', 3), 'boat'] is one"
        )
        concepts, tokens = [], []
        for each in listed(without, expected):
            if isinstance(each, Integral) or (isinstance(each, str) and ":" not in each):
                concepts.append(each)
            else:  # names of concepts have no colon
                path, number = listed(each, expected, 2)
                tokens.append(self.example(path).token(number)[None])
        place = parse_place(where) if isinstance(where, str) else where
        against = np.concatenate([self._centres(concepts), *tokens])
        return Query(wanted, against, place, words, counted, len(concepts) > 0)

    def _centres(self, concepts: Sequence[str | int]) -> Float32[np.ndarray, "q D"]:
        """Of concepts that are kept. Raises SearchError."""
        if not concepts:
            return np.zeros((0, self.contents.model["shapes"]["tokens"][1]), np.float32)
        kept = self.kept_concepts
        if kept is None:
            raise SearchError(
                f"{self.folder} keeps no concepts; find and keep some with stellar concepts "
                f"{self.folder} --keep"
            )
        return kept.centres[[kept.number_of(concept) for concept in concepts]]


def open_index(path: str | Path) -> Index:
    """The index in a folder that `build_index` made. Raises SearchError for what is none, is half
    built, or damaged, and MissingPackage without LanceDB.
    """
    folder = Path(at_home(path))
    contents = read_contents(folder / WHOLE)
    if contents is None:
        if (folder / GROWING).exists():
            raise SearchError(
                f"{folder} is half built; the stellar index that began it goes on when it is "
                "called again"
            )
        problem = "is no index made by stellar index" if folder.exists() else "does not exist"
        raise SearchError(f"expected an index, but {folder} {problem}")
    return Index(Rows(folder, contents))


def _meant(path: str, rows: Rows) -> str:
    """Which picture of the index was probably meant: the path with fewer or more folders before it,
    as a shell completes it; else one of the same folder or name that is spelt nearly so.
    """
    parts = Path(path).parts
    tails = ("/".join(parts[start:]) for start in range(1, len(parts)))
    shorter = (tail for tail in tails if tail in rows.numbers)
    longer = (known for known in rows.paths if known.endswith(f"/{path}"))
    meant = next(chain(shorter, longer), None)
    if meant:
        return f"; did you mean {meant!r}?"
    folder, _, name = path.rpartition("/")
    beside = [known for known in rows.paths if known.rpartition("/")[0] == folder]
    alike = [known for known in rows.paths if known.rpartition("/")[2] == name]
    known = [*beside, *alike]
    return nearest(path, known, cutoff=0.8) if len(known) <= MOST_SPELT else ""
