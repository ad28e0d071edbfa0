"""An index of pictures as commands make it, and what looks at them."""

from pathlib import Path

import pytest

import stellar
from stellar.data import ImageFolder
from stellar.exploring import Gallery, Workbench
from stellar.exploring.workbench import Named
from stellar.searching import Index, open_index


def given_index(photos: Path, tokens: int | None = None) -> Index:
    """Made of the pictures as commands do, beside their folder."""
    pytest.importorskip("lancedb")
    file, folder = photos.with_suffix(".parquet"), photos.with_suffix(".index")
    stellar.embed(stellar.load("stellar-scenes"), photos, file, tokens=tokens)
    stellar.build_index(file, folder, photos)
    return open_index(folder)


def workbench_of(photos: Path) -> Workbench:
    named = Named("stellar-scenes", stellar.load("stellar-scenes"))
    return Workbench([named], Gallery(ImageFolder(photos), "photos"))
