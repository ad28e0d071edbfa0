"""The rows of an index: what is known of pictures, by their numbers (tables.py)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32, Int64
from torch import Tensor

from stellar.searching.runs import Runs, runs
from stellar.searching.tables import Contents, changed, connect, damaged, reading, schemas
from stellar.searching.vectors import unit

ROWS_AT_ONCE = 2048
"""Tokens that become single precision together: few enough for a processor's cache."""
READ_AT_ONCE = 8192
"""Tokens that are read together, when all are."""


@dataclass(frozen=True)
class PictureRow:
    """A picture, without its tokens."""

    path: str
    size: tuple[int, int] | None
    """Width and height in pixels, where the index knows them."""
    thumbnail: bytes
    """JPEG, or empty."""


@dataclass(frozen=True)
class InMemory:
    """The tokens of all pictures, in memory."""

    sparse: Float16[Tensor, "N K D"]
    inverse_lengths: Float32[Tensor, "N K"]
    """0 for a token of zeros."""
    shares: Float32[Tensor, "N K"]
    """Of their pictures."""


class Rows:
    """Both tables, as they were when the index was last finished. Every method raises SearchError
    where the disk has changed them.
    """

    def __init__(self, folder: Path, contents: Contents) -> None:
        self.folder, self.contents = folder, contents
        database = connect(folder)
        with reading(folder):
            self.pictures = _at(database.open_table("pictures"), contents.pictures)
            self.tokens = _at(database.open_table("tokens"), contents.tokens)
            for name, schema in schemas(contents.model).items():
                if getattr(self, name).schema != schema:
                    raise damaged(folder, f"its {name} have other columns")
            found = self.pictures.count_rows(), self.tokens.count_rows()
        expected = contents.num_pictures, contents.num_pictures * contents.num_tokens
        if found != expected:
            raise damaged(folder, f"it has {found} of {expected} rows")

    def __reduce__(self) -> tuple[type["Rows"], tuple[Path, Contents]]:
        """A copy, as another process has it, opens the tables itself."""
        return Rows, (self.folder, self.contents)

    @cached_property
    def paths(self) -> list[str]:
        """Of all pictures, in the order of their numbers."""
        with reading(self.folder, changed):
            table = self.pictures.search().select(["picture", "path"]).limit(None).to_arrow()
            return table.sort_by("picture")["path"].to_pylist()

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Of all pictures, by their paths."""
        return {path: number for number, path in enumerate(self.paths)}

    @cached_property
    def _ids(self) -> Int64[np.ndarray, "N"]:
        """Of all pictures, rising."""
        with reading(self.folder, changed):
            table = self.pictures.search().select(["picture"]).limit(None).to_arrow()
            return np.sort(table["picture"].to_numpy())

    def numbers_of(self, ids: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """The numbers of pictures by their ids, as the tables have them."""
        numbers = np.searchsorted(self._ids, ids)
        if (self._ids[numbers.clip(max=len(self._ids) - 1)] != ids).any():
            raise changed(self.folder, "its tokens are of other pictures")
        return numbers

    @cached_property
    def _picture_places(self) -> Runs:
        """Where picture number n lies in its table."""
        with reading(self.folder, changed):
            batches = self.pictures.search().select(["picture"]).limit(None).to_batches()
            return runs(self.numbers_of(batch["picture"].to_numpy()) for batch in batches)

    @cached_property
    def _token_places(self) -> Runs:
        """Where token k of picture number n, whose key is n K + k, lies in its table."""
        with reading(self.folder, changed):
            return runs(keys for keys, _ in self._tokens([]))

    def _tokens(self, columns: list[str]) -> Iterator[tuple[Int64[np.ndarray, "_"], Any]]:
        """Rows of all tokens with their keys, as they lie."""
        columns = ["picture", "token", *columns]
        rows = self.tokens.search().select(columns).limit(None)
        for batch in rows.to_batches(READ_AT_ONCE):
            numbers = self.numbers_of(batch["picture"].to_numpy())
            yield numbers * self.contents.num_tokens + batch["token"].to_numpy(), batch

    @cached_property
    def in_memory(self) -> InMemory:
        """The tokens of all pictures."""
        num_tokens, width = self.contents.model["shapes"]["tokens"]
        count = self.contents.num_pictures * num_tokens
        sparse, shares = torch.empty(count, width).half(), torch.empty(count)
        with reading(self.folder, changed):
            for keys, batch in self._tokens(["sparse", "share"]):
                rows = torch.from_numpy(keys)
                sparse[rows] = torch.tensor(batch["sparse"].flatten().to_numpy()).view(-1, width)
                shares[rows] = torch.tensor(batch["share"].to_numpy())
        lengths = torch.cat([part.float().norm(dim=1) for part in sparse.split(ROWS_AT_ONCE)])
        inverse = torch.where(lengths > 0, 1 / lengths, 0)
        return InMemory(
            sparse.view(-1, num_tokens, width),
            inverse.view(-1, num_tokens),
            shares.view(-1, num_tokens),
        )

    @cached_property
    def all_shares(self) -> Float32[np.ndarray, "N K"]:
        """What each token explains of its picture."""
        if "in_memory" in vars(self):
            return self.in_memory.shares.numpy()
        shares = np.empty(self.contents.num_pictures * self.contents.num_tokens, np.float32)
        with reading(self.folder, changed):
            for keys, batch in self._tokens(["share"]):
                shares[keys] = batch["share"].to_numpy()
        return shares.reshape(-1, self.contents.num_tokens)

    def all_tokens(self) -> Iterator[tuple[Int64[np.ndarray, "m"], Float32[np.ndarray, "m D"]]]:
        """The tokens of all pictures, of length 1, some after the others as they lie; with their
        keys, n K + k of token k of picture number n.
        """
        if "in_memory" in vars(self):
            flat = self.in_memory.sparse.flatten(0, 1)
            for keys in np.array_split(np.arange(len(flat)), -(-len(flat) // READ_AT_ONCE)):
                yield keys, unit(flat[keys[0] : keys[-1] + 1].numpy())
            return
        with reading(self.folder, changed):
            for keys, batch in self._tokens(["sparse"]):
                flat = batch["sparse"].flatten().to_numpy()
                yield keys, unit(flat.reshape(len(keys), -1))

    def sparse(self, numbers: Int64[np.ndarray, "n"]) -> Float16[np.ndarray, "n K D"]:
        """The tokens of some pictures."""
        if "in_memory" in vars(self):
            return self.in_memory.sparse[torch.from_numpy(numbers)].numpy()
        return self._taken(numbers, "sparse")

    def shares(self, numbers: Int64[np.ndarray, "n"]) -> Float32[np.ndarray, "n K"]:
        """What their tokens explain of them."""
        if "in_memory" in vars(self):
            return self.in_memory.shares[torch.from_numpy(numbers)].numpy()
        return self._taken(numbers, "share")[..., 0]

    def maps(self, numbers: Int64[np.ndarray, "n"]) -> Float16[np.ndarray, "n K h w"]:
        """The maps of their tokens."""
        flat = self._taken(numbers, "map")
        return flat.reshape(*flat.shape[:2], *self.contents.model["shapes"]["maps"][1:])

    def some(self, numbers: Int64[np.ndarray, "n"]) -> list[PictureRow]:
        """Some pictures."""
        places = self._picture_places.places_of(numbers)
        order = np.argsort(places)
        columns = ["path", "width", "height", "thumbnail"]
        with reading(self.folder, changed):
            found = self.pictures.take_offsets(places[order].tolist()).select(columns).to_list()
        rows = [
            PictureRow(
                row["path"],
                None if row["width"] is None else (row["width"], row["height"]),
                row["thumbnail"] or b"",
            )
            for row in found
        ]
        return [rows[place] for place in np.argsort(order)]

    def _taken(self, numbers: Int64[np.ndarray, "n"], column: str) -> Float[np.ndarray, "n K w"]:
        """LanceDB gives rows in the order of their places, whatever the order they are asked in."""
        num_tokens = self.contents.num_tokens
        keys = numbers[:, None] * num_tokens + np.arange(num_tokens)
        places = self._token_places.places_of(keys.ravel())
        order = np.argsort(places)
        with reading(self.folder, changed):
            table = self.tokens.take_offsets(places[order].tolist()).select([column]).to_arrow()
            rows = _vectors(table[column])[np.argsort(order)]
        return rows.reshape(len(numbers), num_tokens, -1)


def _vectors(column: Any) -> Float[np.ndarray, "n w"]:
    """A number or a list in each row; of a number w is 1."""
    column, width = column.combine_chunks(), getattr(column.type, "list_size", None)
    numbers = column if width is None else column.flatten()
    return numbers.to_numpy().reshape(-1, width or 1)


def _at(table: Any, version: int) -> Any:
    table.checkout(version)
    return table
