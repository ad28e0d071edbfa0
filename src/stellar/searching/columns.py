"""Rows of an embedding as those of both tables of an index (tables.py)."""

from collections.abc import Container, Mapping

import numpy as np
import pyarrow as pa

from stellar.embedding import Embeddings
from stellar.model.finite import check_finite
from stellar.searching.originals import Originals
from stellar.searching.places import places
from stellar.searching.thumbnails import Thumbnail, thumbnails


def check_numbers(group: Embeddings) -> None:
    """Raises UserError for tokens and maps that are not finite."""
    check_finite("tokens", group.tokens, group.paths.__getitem__)
    check_finite("maps", group.maps, group.paths.__getitem__)


def picture_rows(
    group: Embeddings,
    hashes: Mapping[str, int],
    origin: int,
    first: int,
    originals: Originals | None,
) -> pa.Table:
    """A row for each picture, with the hash by its path; their ids are from `first` on."""
    columns = {
        "picture": pa.array(np.arange(first, first + len(group.paths))),
        "path": pa.array(group.paths, pa.string()),
        "row": pa.array([hashes[path] for path in group.paths], pa.int64()),
        "origin": pa.array([origin] * len(group.paths), pa.int32()),
        "cls": _lists(group.cls),
    }
    return pa.table(columns | _of_files(thumbnails(originals, group.paths)))


def _of_files(small: list[Thumbnail]) -> dict[str, pa.Array]:
    """What the table of pictures has of their files."""
    return {
        "width": pa.array([each.width for each in small], pa.int32()),
        "height": pa.array([each.height for each in small], pa.int32()),
        "thumbnail": pa.array([each.jpeg for each in small], pa.binary()),
    }


def filled_in(rows: pa.RecordBatch, originals: Originals, among: Container[str]) -> pa.Table:
    """Rows of pictures, with what those among some paths were lacking of their files."""
    paths, *of_files = (rows[name].to_pylist() for name in ("path", "thumbnail", "width", "height"))
    before = (Thumbnail(*each) for each in zip(*of_files, strict=True))
    known = dict(zip(paths, before, strict=True))
    lacking = [path for path, each in known.items() if each.width is None and path in among]
    known |= zip(lacking, thumbnails(originals, lacking), strict=True)
    kept = {name: rows[name] for name in ("picture", "path", "row", "origin", "cls")}
    return pa.table(kept | _of_files(list(known.values())))


def token_rows(group: Embeddings, first: int) -> pa.Table:
    """A row for each token of pictures whose ids are from `first` on."""
    count, num_tokens = group.tokens.shape[:2]
    where = places(group.maps)
    columns = {
        "picture": pa.array(np.repeat(np.arange(first, first + count), num_tokens)),
        "token": pa.array(np.tile(np.arange(num_tokens, dtype=np.int32), count)),
        "sparse": _lists(group.tokens.reshape(count * num_tokens, -1)),
        "centre": _lists(where.centre.reshape(-1, 2)),
        "spread": pa.array(where.spread.ravel()),
        "box": _lists(where.box.reshape(-1, 4)),
        "share": pa.array(where.share.ravel()),
        "map": _lists(group.maps.reshape(count * num_tokens, -1)),
    }
    return pa.table(columns)


def _lists(rows: np.ndarray) -> pa.Array:
    """Rows of numbers as lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
