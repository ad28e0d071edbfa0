"""Any text in the letters of Pillow's own font, so that names it cannot spell can be told apart."""

from functools import cache
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

from stellar.storage import one_line

_NO_LETTER = "\U0010ffff"
"""No font has it: it is drawn as the font draws all that it lacks."""


def spelt(text: str, size: int) -> str:
    """A text, on one line, as the font can show it at this size: letters that it lacks come without
    their accents, and what is still lacking as an escape, as \\u65e5.
    """
    return "".join(_spelt(letter, size) for letter in one_line(normalize("NFC", text)))


@cache
def _spelt(letter: str, size: int) -> str:
    plain = "".join(part for part in normalize("NFKD", letter) if not combining(part))
    for shown in (letter, plain):
        if shown and not any(_is_lacking(part, size) for part in shown):
            return shown
    return letter.encode("ascii", "backslashreplace").decode("ascii")


def _is_lacking(letter: str, size: int) -> bool:
    return _drawn(letter, size) == _drawn(_NO_LETTER, size)


@cache
def _drawn(letter: str, size: int) -> bytes:
    """Its pixels."""
    picture = Image.new("L", (3 * size, 3 * size))
    ImageDraw.Draw(picture).text((size, size), letter, 255, ImageFont.load_default(size))
    return picture.tobytes()
