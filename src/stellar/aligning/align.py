"""Pictures, a model and a tower to a file of words: `stellar.align`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stellar.aligning.examples import Examples, caption_examples, token_examples
from stellar.aligning.fitting import fit_contrastive, fit_ridge
from stellar.aligning.towers import Tower
from stellar.config import Fit, check_count
from stellar.data import NamedPictures, open_pictures
from stellar.data.folder import DataError, ImageFiles, evenly_spread
from stellar.data.labelled.csv_table import NoTable, csv_rows, on_disk
from stellar.errors import UserError
from stellar.images.sizes import check_one_size
from stellar.model import Stellar, check_model
from stellar.model.files.fingerprint import fingerprint
from stellar.searching.words import Origin, Words
from stellar.storage import at_home

HELD_OUT = 10
"""Of so many pictures, one is not fitted to."""
FEWEST = 20
"""Pictures that can be fitted to at all."""


class AlignError(UserError):
    """Tokens that cannot be aligned: the message says why."""


class Captions(NamedTuple):
    """Pictures, and the texts of each."""

    pictures: ImageFiles
    texts: list[list[str]]


@dataclass(frozen=True)
class Alignment:
    """What `align` found."""

    words: Words
    num_examples: int
    num_held_out: int
    """Examples that were not fitted to, of which all below is said."""
    rank: float
    """How many of the other pictures' vectors are nearer than an example's own: the median share; 0
    at best, 0.5 by chance.
    """
    cosine: float
    """Mean, to the tower's vectors. It says nothing where captions were learned from, whose loss
    asks that the own one is nearest, however far that is.
    """
    baseline: float
    """The same, of the mean of all of the tower's vectors."""
    unreadable: list[str]


def align(
    model: Stellar,
    tower: Tower,
    pictures: NamedPictures | None = None,
    captions: str | Path | Captions | None = None,
    fit: Fit = "crop",
    count: int = 2000,
    crops: int = 4,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Alignment:
    """Learn to say from a model's tokens what the tower says of what they show.

    Either from `count` pictures, of each the whole and `crops` of its tokens: a folder, shards, a
    list of files, `scenes`, or a source of images. Or from `captions`, a CSV file with the columns
    path and text, whose paths are relative to it, or what `read_captions` gives of it.

    `fit` is that of the embedding that is searched. Raises AlignError for too few pictures, for
    models of other channels than RGB or without tokens, for what is no tower, and where both or
    neither are given; ConfigError for a `count` below 20 and `crops` below 1, InputError for a fit
    that is not crop or squash, DataError for a wrong CSV file.
    """
    check_model(model)
    check_call(pictures, captions, fit, count, crops)
    if not isinstance(tower, Tower):
        raise AlignError(f"expected a tower, as load_tower gives one, got {tower!r}")
    if model.config.in_chans != 3 or not model.config.num_sparse_tokens:
        raise AlignError("words need a model of RGB pictures that has tokens")
    if captions is not None:
        files, texts = captions if isinstance(captions, Captions) else read_captions(captions)
        examples, unread = caption_examples(model, tower, files, texts, fit, progress)
        fitting = fit_contrastive
    else:
        assert pictures is not None
        source = open_pictures(pictures, model.config)
        indices = list(evenly_spread(source, count))
        examples, unread = token_examples(
            model, tower, source, indices, fit, crops, seed, progress
        )  # fmt: skip
        fitting = fit_ridge
    train, held_out = _split(examples)
    result = fitting(train, held_out)
    origin = Origin(tower.name, fingerprint(model), fit)
    return Alignment(
        Words(result.map.weight, result.map.bias, origin), len(examples), len(held_out),
        result.rank, result.cosine, result.baseline, unread,
    )  # fmt: skip


def check_call(pictures: object, captions: object, fit: Fit, count: int, crops: int) -> None:
    """What `align` raises of its arguments before it looks at any model."""
    check_one_size(fit)
    check_count(count, "count", FEWEST)
    check_count(crops, "crops")
    if (pictures is None) == (captions is None):
        raise AlignError("give pictures, or a CSV file of captions, and not both")


def read_captions(named: str | Path) -> Captions:
    """Pictures and the texts of each. Raises DataError with the line of a wrong row."""
    file = Path(at_home(named))
    texts: dict[bytes, list[str]] = {}
    try:
        for line, row in csv_rows(file, "path", "text"):
            path, text = (row["path"] or "").strip(), (row["text"] or "").strip()
            picture = on_disk(file.parent, path)
            if not (file.parent / picture).is_file():
                raise DataError(
                    f"{file}, line {line}: {path or 'an empty path'} is no file; paths are "
                    f"relative to {file.parent}"
                )
            if not text:
                raise DataError(f"{file}, line {line}: {path} has no text")
            texts.setdefault(bytes(picture), []).append(text)
    except NoTable as error:
        raise DataError(f"{error}; expected path,text") from error
    return Captions(ImageFiles(file.parent, list(texts)), list(texts.values()))


def _split(examples: Examples) -> tuple[Examples, Examples]:
    """Most, and those of every tenth picture. Raises AlignError for too few pictures."""
    pictures = np.unique(examples.picture)
    if len(pictures) < FEWEST:
        raise AlignError(
            f"words are learned from at least {FEWEST} pictures, of which {len(pictures)} were read"
        )
    out = np.isin(examples.picture, pictures[::HELD_OUT])
    return _some(examples, ~out), _some(examples, out)


def _some(examples: Examples, which: np.ndarray) -> Examples:
    return Examples(examples.sparse[which], examples.target[which], examples.picture[which])
