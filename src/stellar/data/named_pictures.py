"""Pictures as users name them where no labels are needed and single files will do: to reconstruct,
to align, to explore.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from stellar.config import ModelConfig
from stellar.data.embedded import EMBEDDED, open_embedded
from stellar.data.folder import DataError, ImageSource, printable
from stellar.data.short_names import short_names
from stellar.data.sources import are_shards, open_source
from stellar.images import Pixels, read_image
from stellar.storage import at_home

NamedPictures = ImageSource | str | Path | Sequence[str | Path]
"""A source of images; a folder, shards, a file, or the name of an embedded data set; or files."""


class PictureFiles:
    """Single files as a source of images. Raises DataError for one that does not exist."""

    def __init__(self, paths: Sequence[Path], channels: int = 3) -> None:
        for path in paths:
            if not path.is_file():
                found = "is no regular file" if path.exists() else "does not exist"
                raise DataError(f"expected a picture or a folder of pictures, but {path} {found}")
        self._paths, self.channels = list(paths), channels
        self._names = short_names([str(path) for path in paths])

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> Pixels:
        return read_image(self._paths[index], self.channels)

    def name(self, index: int) -> str:
        """The file's name, with folders before it where that would be another's as well."""
        return printable(os.fsencode(self._names[index]))

    def path(self, index: int) -> Path:
        """The file."""
        return self._paths[index]


def open_pictures(named: NamedPictures, config: ModelConfig) -> ImageSource:
    """The pictures, for a model with this configuration; of an embedded data set its held-out
    scenes. Raises DataError.
    """
    if isinstance(named, ImageSource):
        return named
    paths = [named] if isinstance(named, str | Path) else named
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise DataError(
            "expected a folder or files of pictures, by their paths, or 'scenes', got "
            f"a {type(named).__name__}"
        )
    if not paths:
        raise DataError("expected at least one picture, got an empty list")
    names = [at_home(path) for path in paths]
    many = [name for name in names if name in EMBEDDED or Path(name).is_dir() or are_shards(name)]
    if not many:
        return PictureFiles([Path(name) for name in names], config.in_chans)
    if len(names) > 1:
        raise DataError(
            f"expected files of pictures, or one folder, shards or scenes, got {many[0]} among "
            f"{len(names)} names; name it alone"
        )
    if many[0] in EMBEDDED:
        return open_embedded(many[0], "heldout", config)
    return open_source(many[0], config.in_chans)
