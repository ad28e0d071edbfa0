"""An index of few pictures, made when it is first searched and gone when the page is closed, so
that searching needs no preparation.
"""

from pathlib import Path

from stellar.config import Fit
from stellar.data import ImageFolder, ImageSource, Scenes
from stellar.embedding import embed
from stellar.images import to_pillow
from stellar.model import Stellar
from stellar.searching import Index, build_index, open_index

LARGEST = 1000
"""Pictures; more take longer than anybody would wait."""


def can_have_own_index(source: ImageSource) -> bool:
    """Whether these pictures are few, and a folder or drawn scenes."""
    return isinstance(source, ImageFolder | Scenes) and len(source) <= LARGEST


def build_own_index(model: Stellar, source: ImageSource, fit: Fit, folder: str) -> Index:
    """Embed and index the pictures, in this folder."""
    place = Path(folder)
    if isinstance(source, ImageFolder):
        pictures = source.root
    else:
        pictures = place / "pictures"
        _write(source, pictures)
    embed(model, pictures, place / "tokens.parquet", num_workers=0, fit=fit)
    build_index(place / "tokens.parquet", place / "tokens.index", pictures)
    return open_index(place / "tokens.index")


def _write(source: ImageSource, folder: Path) -> None:
    """As PNG files that are called what the pictures are called, with .png behind."""
    for index in range(len(source)):
        file = folder / f"{source.name(index)}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        to_pillow(source.read(index)).save(file, format="PNG")
