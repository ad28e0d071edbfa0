"""The pictures of the page: those of a folder, of shards, of single files, or drawn scenes; and
what somebody brings along, which stays in memory.

A picture has a key: its number, or a name of our own for one that was brought. The page never asks
by a path.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from secrets import token_hex

from stellar.data import ImageSource, Scenes, Shards
from stellar.data.folder import ImageFiles, Stamp, stamp_of
from stellar.data.named_pictures import PictureFiles
from stellar.errors import UserError
from stellar.exploring.names import Names
from stellar.images import Picture, Pixels, read_image, read_picture
from stellar.searching.thumbnails import SIDE, TIMES, thumbnail

MOST_BROUGHT, MOST_BYTES = 16, 256 << 20
"""Pictures that were brought along, and bytes of them, that are kept; the oldest ones go."""
MOST_SMALL = 20_000
"""Thumbnails that are kept."""
BROUGHT, LONGEST_KEY = "brought-", 12


class NoPicture(UserError):
    """A key that no picture has, or one that may not be shown."""


@dataclass(frozen=True)
class Brought:
    """A picture that somebody gave to the page."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Opening:
    """How a picture is read again, in Python."""

    picture: str
    """What `model.encode` takes."""
    imports: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    """Lines that it needs, once."""


class Gallery:
    """Pictures by their keys. `title` says where they are from. Of a `shared` one nobody is told
    where it lies, and what is brought to it is shown to nobody who does not know its key.
    """

    def __init__(self, source: ImageSource, title: str, shared: bool = False) -> None:
        self.source, self.title, self.shared = source, title, shared
        self._brought: OrderedDict[str, Brought] = OrderedDict()
        self._small: OrderedDict[str, tuple[Stamp | None, bytes]] = OrderedDict()

    def listed(self, start: int, count: int, containing: str = "") -> tuple[int, list[str]]:
        """How many pictures have a name with this text in it, in any case, and keys of some."""
        if not containing:
            some = range(start, min(start + count, len(self.source)))
            return len(self.source), [str(index) for index in some]
        found = self._names.containing(containing)
        return len(found), [str(index) for index in found[start : start + count]]

    def name(self, key: str) -> str:
        """Raises NoPicture."""
        brought = self._brought.get(key)
        return brought.name if brought is not None else self.source.name(self._number(key))

    def read(self, key: str, channels: int) -> Pixels:
        """Raises NoPicture, also for a link that leads out of the folder, and UnreadableImage."""
        return self._picture(key, channels).pixels

    def is_inside(self, key: str) -> bool:
        """Whether a picture of a folder lies in it, wherever links lead. Raises NoPicture."""
        number = self._number(key)
        if not isinstance(self.source, ImageFiles):
            return True
        return self.source.path(number).resolve().is_relative_to(self.source.root.resolve())

    def thumbnail(self, key: str, channels: int) -> bytes:
        """JPEG, made when it is first asked for, and again when the file was changed. Raises as
        `read` does.
        """
        stamp = self.stamp(key)
        before, kept = self._small.get(key, (None, b""))
        if not kept or before != stamp:
            kept = thumbnail(self._picture(key, channels, TIMES * SIDE)).jpeg
            self._small[key] = stamp, kept
            if len(self._small) > MOST_SMALL:
                self._small.popitem(last=False)
        return kept

    def stamp(self, key: str) -> Stamp | None:
        """By which it is noticed that a file was changed while the page is open; None for what is
        no file of its own. Raises NoPicture.
        """
        if key in self._brought or not isinstance(self.source, ImageFiles | PictureFiles):
            return None
        return stamp_of(self.source.path(self._number(key)))

    @property
    def brought(self) -> list[str]:
        """Keys of what was brought along, the newest first; of a shared gallery none."""
        return [] if self.shared else list(reversed(self._brought))

    def key_of(self, name: str) -> str | None:
        """Of a picture of the source, by its name."""
        number = self._names.numbers.get(name)
        return None if number is None else str(number)

    def bring(self, name: str, data: bytes, channels: int) -> str:
        """Keep a picture that was given, and return its key. Raises UnreadableImage."""
        name = name.replace("\\", "/").rpartition("/")[2].strip(" .") or "picture"
        read_image(name, channels, data)
        key = f"{BROUGHT}{token_hex(16)}"
        self._brought[key] = Brought(name, data)
        while len(self._brought) > 1 and (
            len(self._brought) > MOST_BROUGHT
            or sum(len(each.data) for each in self._brought.values()) > MOST_BYTES
        ):
            gone, _ = self._brought.popitem(last=False)
            self._small.pop(gone, None)
        return key

    def opening(self, key: str) -> Opening:
        """Raises NoPicture."""
        if key in self._brought:
            return Opening(repr(self._brought[key].name))
        number = self._number(key)
        match self.source:
            case Scenes():
                split, seed, size = self.source.split, self.source.seed, self.source.size
                more = f"ground={self.source.ground!r}, overlap={self.source.overlap}"
                return Opening(
                    f"scenes.read({number})",
                    ("from stellar.data import Scenes",),
                    (f"scenes = Scenes({split!r}, {seed}, {size}, {more})",),
                )
            case Shards():
                return Opening(
                    f"shards.read({number})",
                    ("from stellar.data import open_source",),
                    (f"shards = open_source({self.source.shards!r}, model.config.in_chans)",),
                )
            case ImageFiles() if self.shared:
                path = self.source.path(number).relative_to(self.source.root.parent)
                return Opening(repr(str(path)))
            case ImageFiles() | PictureFiles():
                return Opening(repr(str(self.source.path(number))))
            case _:
                return Opening(repr(self.source.name(number)))

    def _picture(self, key: str, channels: int, least: int | None = None) -> Picture:
        """Files are decoded in small, where `least` says how small."""
        brought = self._brought.get(key)
        if brought is not None:
            return read_picture(brought.name, channels, brought.data, least)
        number = self._number(key)
        if not self.is_inside(key):
            raise NoPicture(f"{self.source.name(number)} is a link that leads out of the folder")
        if least is not None and isinstance(self.source, ImageFiles | PictureFiles):
            return read_picture(self.source.path(number), channels, least=least)
        return Picture(self.source.read(number))

    def _number(self, key: str) -> int:
        known = key.isascii() and key.isdecimal() and len(key) <= LONGEST_KEY
        if not known or int(key) >= len(self.source):
            raise NoPicture("there is no such picture any more; choose another one")
        return int(key)

    @cached_property
    def _names(self) -> Names:
        return Names(self.source)
