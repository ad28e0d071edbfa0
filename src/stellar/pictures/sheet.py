"""A picture sheet: input, segments (argmax of L), token maps (L) and reconstruction in rows; of a
model without tokens, input and reconstruction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stellar.model.factors import Factors
from stellar.pictures.colours import Colour
from stellar.pictures.lettering import spelt
from stellar.pictures.tiles import photograph, segments, token_map

PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 30, 36)
FAINT_INK: Colour = (122, 127, 138)

_TILE = 224
"""Longer side of a picture, in pixels, as near as a whole enlargement comes to it."""
_MARGIN = 36
_COLUMN_GAP = 28
_COLUMN_WIDTH = 150
"""At least."""
_ROW_GAP = 26
_CELL_GAP = 8
_RADIUS = 8
_HEADING_HEIGHT = 58
_HEADING_SIZE = 19
_SMALL_SIZE = 14
_TITLE_HEIGHT = 24

_HEADINGS = (
    ("Input", "what the model saw"),
    ("Segments", "argmax of L"),
    ("Token maps", "L, where each token is"),
    ("Reconstruction", "drawn from Z = L S"),
)
_HEADINGS_WITHOUT_TOKENS = (_HEADINGS[0], ("Reconstruction", "drawn from the patches"))


@dataclass(frozen=True)
class _Layout:
    """Sizes of a sheet, in pixels; pairs are (width, height)."""

    tile: tuple[int, int]
    cell: tuple[int, int]
    cells: tuple[int, int]
    """Token maps across and down; none across in a model without tokens."""
    num_rows: int
    title_height: int

    @property
    def headings(self) -> tuple[tuple[str, str], ...]:
        return _HEADINGS if self.cells[0] else _HEADINGS_WITHOUT_TOKENS

    @property
    def columns(self) -> tuple[int, ...]:
        """Left edges, and the right edge of the last; wide enough for the headings."""
        tile_width = max(self.tile[0], _COLUMN_WIDTH)
        maps_width = max(self.cells[0] * (self.cell[0] + _CELL_GAP) - _CELL_GAP, _COLUMN_WIDTH)
        of_tokens = (tile_width, maps_width) if self.cells[0] else ()
        edges = [_MARGIN]
        for width in (tile_width, *of_tokens):
            edges.append(edges[-1] + width + _COLUMN_GAP)
        return *edges, edges[-1] + tile_width

    @property
    def row_height(self) -> int:
        """Of pictures and maps; maps of flat pictures can be the higher ones together."""
        return max(self.tile[1], self.cells[1] * (self.cell[1] + _CELL_GAP) - _CELL_GAP)

    @property
    def row_step(self) -> int:
        return self.row_height + self.title_height + _ROW_GAP

    @property
    def size(self) -> tuple[int, int]:
        height = 2 * _MARGIN + _HEADING_HEIGHT + self.num_rows * self.row_step - _ROW_GAP
        return self.columns[-1] + _MARGIN, height


def picture_sheet(
    images: UInt8[Tensor, "b c h w"] | Float[Tensor, "b c h w"],
    factors: Factors,
    reconstructions: Float[Tensor, "b c h w"],
    titles: Sequence[str] | None = None,
) -> Image.Image:
    """Draw a batch: floats in [0, 1], `titles` one short line an image (name, PSNR).

    One or two channels are shown as grey, by the first; more by the first three.
    """
    maps = factors.maps.detach().float().cpu()
    layout = _layout(images.shape[3], images.shape[2], maps.shape[1], len(images), titles)
    sheet = Image.new("RGB", layout.size, PAPER)
    _draw_headings(sheet, layout)
    drawn = _visible(reconstructions)
    for row, image in enumerate(_visible(images)):
        top = _MARGIN + _HEADING_HEIGHT + row * layout.row_step
        _draw_row(sheet, layout, top, image, maps[row], drawn[row])
        if titles is not None:
            _draw_title(sheet, layout, top, titles[row])
    return sheet


def _visible(images: Tensor) -> UInt8[Tensor, "b 3 h w"]:
    """Three channels of 8 bits."""
    images = images.detach().cpu()
    if images.is_floating_point():
        images = (images.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Several sheets, one below the other."""
    if len(sheets) == 1:
        return sheets[0]
    size = (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets))
    whole, top = Image.new("RGB", size, PAPER), 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _layout(
    width: int, height: int, num_tokens: int, num_rows: int, titles: Sequence[str] | None
) -> _Layout:
    longer = max(width, height)
    scale = max(1, round(_TILE / longer)) if longer <= _TILE else _TILE / longer
    tile = (max(1, round(width * scale)), max(1, round(height * scale)))
    down = 1 if num_tokens <= 1 else 2 if num_tokens <= 16 else 3 if num_tokens <= 32 else 4
    cell_height = (tile[1] - (down - 1) * _CELL_GAP) // down
    cell = (max(1, round(cell_height * width / height)), cell_height)
    if num_tokens and cell_height < _CELL_GAP:
        # Too flat a picture to have its maps within its height: they lie below each other.
        down = min(num_tokens, (_TILE + _CELL_GAP) // (tile[1] + _CELL_GAP))
        cell = tile
    return _Layout(
        tile, cell, (-(-num_tokens // down), down), num_rows, _TITLE_HEIGHT if titles else 0
    )


def _draw_headings(sheet: Image.Image, layout: _Layout) -> None:
    draw = ImageDraw.Draw(sheet)
    for left, (heading, meaning) in zip(layout.columns[:-1], layout.headings, strict=True):
        draw.text((left, _MARGIN - 6), heading, INK, ImageFont.load_default(_HEADING_SIZE))
        draw.text((left, _MARGIN + 20), meaning, FAINT_INK, ImageFont.load_default(_SMALL_SIZE))


def _draw_row(
    sheet: Image.Image,
    layout: _Layout,
    top: int,
    image: UInt8[Tensor, "3 h w"],
    maps: Float[Tensor, "k gh gw"],
    drawn: UInt8[Tensor, "3 h w"],
) -> None:
    input_left, *of_tokens, drawn_left, _ = layout.columns
    _paste(sheet, photograph(image, layout.tile), (input_left, top))
    _paste(sheet, photograph(drawn, layout.tile), (drawn_left, top))
    if not of_tokens:
        return
    segments_left, maps_left = of_tokens
    _paste(sheet, segments(image, maps, layout.tile), (segments_left, top))
    for token in range(len(maps)):
        down, across = divmod(token, layout.cells[0])
        left = maps_left + across * (layout.cell[0] + _CELL_GAP)
        cell_top = top + down * (layout.cell[1] + _CELL_GAP)
        _paste(sheet, token_map(image, maps, token, layout.cell), (left, cell_top))


def _draw_title(sheet: Image.Image, layout: _Layout, top: int, title: str) -> None:
    font = ImageFont.load_default(_SMALL_SIZE)
    room = layout.size[0] - 2 * _MARGIN
    shown = spelt(title, _SMALL_SIZE)
    while font.getlength(shown) > room:
        shown = shown[: len(shown) * 9 // 10 - 3] + "..."
    place = (_MARGIN, top + layout.row_height + 6)
    ImageDraw.Draw(sheet).text(place, shown, FAINT_INK, font)


def _paste(sheet: Image.Image, picture: Image.Image, place: tuple[int, int]) -> None:
    """Put a picture on the sheet with round corners."""
    smooth = 4
    large = (picture.width * smooth, picture.height * smooth)
    mask = Image.new("L", large)
    box = (0, 0, large[0] - 1, large[1] - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, _RADIUS * smooth, fill=255)
    sheet.paste(picture, place, mask.resize(picture.size, Image.Resampling.BOX))
