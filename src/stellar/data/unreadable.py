"""What becomes of pictures that cannot be read while a model is trained: the next one that can be
read takes the place of each, and its name and the reason are handed on. Before a run some pictures
are looked at, so that a source that is mostly broken is found out at once.

Another picture may stand in because training draws its pictures at random. Embedding and evaluation
have a row or a score for each picture, so there (`picture_batches.py`) the ones that cannot be read
are left out and named, and nothing takes their places.
"""

from dataclasses import dataclass

from stellar.data.folder import DataError, ImageSource, evenly_spread
from stellar.images import Pixels, UnreadableImage

MAX_TRIES = 100
"""Pictures in a row that cannot be read, after which no more are tried."""


@dataclass(frozen=True)
class Found:
    """A picture that could be read, and those before it that could not."""

    pixels: Pixels
    index: int
    """Its place in the source: the one asked for where nothing was skipped."""
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of those before it."""


def read_from(source: ImageSource, index: int) -> Found:
    """The picture at `index`, or the first after it that can be read; after the last picture comes
    the first. Raises DataError when none of MAX_TRIES can be read.
    """
    skipped = []
    for place in range(index, index + min(MAX_TRIES, len(source))):
        place %= len(source)
        try:
            return Found(source.read(place), place, tuple(skipped))
        except UnreadableImage as error:
            skipped.append((source.name(place), error.reason))
    (first, reason), (last, last_reason) = skipped[0], skipped[-1]
    raise DataError(
        f"none of {len(skipped)} images in a row could be read, from {first} ({reason}) to {last} "
        f"({last_reason})"
    )


def check_readable(source: ImageSource, sample: int = 64) -> list[tuple[str, str]]:
    """Read up to `sample` pictures, evenly spread: name and reason of those that cannot be read.
    Raises DataError when they are more than half.
    """
    chosen = evenly_spread(source, sample)
    unreadable = []
    for index in chosen:
        try:
            source.read(index)
        except UnreadableImage as error:
            unreadable.append((source.name(index), error.reason))
    if len(unreadable) > len(chosen) / 2:
        name, reason = unreadable[0]
        raise DataError(
            f"{len(unreadable)} of {len(chosen)} images looked at cannot be read, more than half; "
            f"the first is {name} ({reason})"
        )
    return unreadable
