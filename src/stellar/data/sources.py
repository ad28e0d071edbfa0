"""Pictures without labels, told by what the user named: a folder of files, or shards."""

import logging
import os
from pathlib import Path

from stellar.data.embedded import EMBEDDED
from stellar.data.folder import EXTENSIONS, DataError, ImageFolder
from stellar.data.folderindex import walk
from stellar.data.shards import Shards
from stellar.storage import at_home, is_address, permitted

logger = logging.getLogger(__name__)


def open_source(data: Path | str, channels: int = 3) -> ImageFolder | Shards:
    """The pictures below a folder; or those of shards, where `data` is a .tar file, a pattern, an
    address, or a folder that holds .tar files and no pictures. Raises DataError.
    """
    with permitted(data, DataError):
        source = _opened(at_home(data), channels)
    logger.info("%s pictures in %s", f"{len(source):,}", data)
    return source


def _opened(data: str, channels: int) -> ImageFolder | Shards:
    if data in EMBEDDED and not Path(data).exists():
        raise DataError(
            f"expected a folder of pictures or shards, but {data} are drawn in memory, for stellar "
            "pretrain, evaluate, reconstruct and explore"
        )
    if are_shards(data):
        return Shards(data, channels)
    if Path(data).is_dir() and _holds_tars(data):
        if not _holds_pictures(data):
            return Shards(data, channels)
        logger.warning(
            "%s holds pictures and .tar files; its pictures are read. "
            "To read its shards instead, name them: %s/*.tar",
            data,
            data,
        )
    return ImageFolder(data, channels)


def means_shards(data: str) -> bool:
    """Whether what was named is read as shards: what can mean nothing else, and a folder that holds
    .tar files and no pictures.
    """
    if are_shards(data):
        return True
    return Path(data).is_dir() and _holds_tars(data) and not _holds_pictures(data)


def are_shards(data: str) -> bool:
    """Whether this can only mean shards: an address, a .tar file, or a pattern."""
    if is_address(data):
        return True
    if Path(data).exists():
        return Path(data).is_file() and data.endswith(".tar")
    return data.endswith(".tar") or any(sign in data for sign in "*?[{")


def whole_path(data: str) -> str:
    """What was named, so that it can be found from any folder; what is missing stays as it is."""
    data = at_home(data)
    local = not is_address(data) and (are_shards(data) or Path(data).is_dir())
    return str(Path(data).resolve()) if local else data


def require_outside(out: Path, data: str) -> None:
    """Raises DataError for a place within a folder of pictures: what is drawn there would join
    them, and be learned from.
    """
    data = at_home(data)
    local = not is_address(data) and Path(data).is_dir()
    if local and out.resolve().is_relative_to(Path(data).resolve()):
        raise DataError(
            f"{out} lies within {data}, and what is drawn there would be read as one of its "
            "pictures; choose another --out"
        )


def _holds_pictures(folder: str) -> bool:
    """In itself, or in a folder below."""
    return next(walk(folder, EXTENSIONS), None) is not None


def _holds_tars(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(".tar") for entry in entries)
