"""The pictures that were embedded, found by what an embedding calls them: below a folder by their
paths, in shards by shard and member.
"""

from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from stellar.data.folder import unescaped
from stellar.data.shards import Shards
from stellar.data.sources import are_shards, means_shards
from stellar.images import Picture, read_picture
from stellar.searching.tables import SearchError
from stellar.storage import at_home, reason_of, unreadable


@runtime_checkable
class Originals(Protocol):
    """Where pictures are looked up."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str, least: int) -> Picture | None:
        """None for what is not there; `least` is that of `read_picture`. Raises UnreadableImage and
        OSError.
        """
        ...


class BelowFolder:
    """By their paths below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return self._file(name) is not None

    def read(self, name: str, least: int) -> Picture | None:
        file = self._file(name)
        return None if file is None else read_picture(file, least=least)

    def _file(self, name: str) -> Path | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:  # an embedding may come from somebody else
            return None
        try:
            files = self._folder / path, self._folder / unescaped(name)
            return next((file for file in files if file.exists()), None)
        except OSError:
            return None


class InShards:
    """By their names in shards, as shard-000000.tar/KEY.jpg."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._numbers = {shards.name(number): number for number in range(len(shards))}

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def read(self, name: str, least: int) -> Picture | None:
        number = self._numbers.get(name)
        if number is None:
            return None
        return read_picture(name, data=self._shards.content(number), least=least)


def open_originals(named: str | Path) -> Originals:
    """A folder of pictures, or shards as `stellar embed` takes them. Raises SearchError for what is
    neither, and what `Shards` raises.
    """
    place = at_home(named)
    try:
        if not (are_shards(place) or Path(place).is_dir()):
            raise SearchError(
                f"expected the folder of the pictures, or their shards, but {place} is not a folder"
            )
        of_shards = means_shards(place)
    except OSError as error:
        raise SearchError(unreadable(place, reason_of(error))) from error
    return InShards(Shards(place)) if of_shards else BelowFolder(Path(place))
