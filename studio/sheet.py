"""A contact sheet: pictures in a grid, a title and quieter lines under each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import TypeAlias
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Cell", "cell_sheet", "contact_sheet", "printable"]

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

Ink: TypeAlias = tuple[int, int, int]

_PAPER = (252, 251, 248)
_INK = (32, 33, 36)
_GREY = (110, 112, 118)
_GREEN, _RED = (30, 132, 73), (192, 57, 43)
_MARGIN_PX, _GAP_PX, _LINE_PX = 28, 24, 20
_CELL_PX = 256
_MAX_LINES = 4


@dataclass(frozen=True)
class Cell:
    """A picture, a title, and lines below it in a quieter ink."""

    image: Image.Image
    title: str
    notes: Sequence[str] = ()


def contact_sheet(
    images: Sequence[Image.Image],
    captions: Sequence[str],
    verdicts: Sequence[str] | None = None,
    *,
    columns: int | None = None,
) -> Image.Image:
    """Draw `images` in `columns` (default: at most five), small ones enlarged without blurring."""
    if not images or len(captions) != len(images):
        raise ValueError(
            f"captions: {len(captions)} came for {len(images)} images; expected one each"
        )
    columns = columns or min(len(images), 5)
    notes = verdicts or [""] * len(images)
    cells = [Cell(i, c, [note]) for i, c, note in zip(images, captions, notes, strict=True)]
    return cell_sheet([cells[i : i + columns] for i in range(0, len(cells), columns)])


def cell_sheet(rows: Sequence[Sequence[Cell | None]]) -> Image.Image:
    """Draw rows of cells, None being an empty place; each row is as high as it needs."""
    title, small = ImageFont.load_default(15), ImageFont.load_default(13)
    columns = max(map(len, rows))
    width = 2 * _MARGIN_PX + columns * _CELL_PX + (columns - 1) * _GAP_PX
    drawn = [[None if cell is None else _drawn(cell, title, small) for cell in row] for row in rows]
    heights = [max(cell.height for cell in row if cell is not None) for row in drawn]
    height = 2 * _MARGIN_PX + sum(heights) + (len(rows) - 1) * _GAP_PX
    sheet = Image.new("RGB", (width, height), _PAPER)
    y = _MARGIN_PX
    for row, row_px in zip(drawn, heights, strict=True):
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.paste(cell, (_MARGIN_PX + column * (_CELL_PX + _GAP_PX), y))
        y += row_px + _GAP_PX
    return sheet


def _drawn(cell: Cell, title: Font, small: Font) -> Image.Image:
    picture = _fit(cell.image)
    lines = [(line, _INK, title) for line in _wrap(cell.title, title, _CELL_PX)]
    for note in cell.notes:
        lines += [(line, _GREY, small) for line in _wrap(note, small, _CELL_PX)]
    whole = Image.new("RGB", (_CELL_PX, picture.height + 12 + _LINE_PX * len(lines)), _PAPER)
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for i, (line, ink, font) in enumerate(lines):
        _line(draw, (0, picture.height + 12 + i * _LINE_PX), line, ink, font)
    return whole


def printable(text: str) -> str:
    """`text` in what Pillow's own font can draw: accents dropped, the rest as <U+1F431>."""
    return "".join(_drawable(char) for char in normalize("NFKD", text))


def _drawable(char: str) -> str:
    if " " <= char <= "~" or char in "·…✓✗":  # the last two are drawn by hand
        return char
    if char.isspace():
        return " "
    if char in "–—":
        return "-"
    if char in "“”":
        return '"'
    return "" if combining(char) else f"<U+{ord(char):04X}>"


def _line(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, ink: Ink, font: Font
) -> None:
    """One line of text; the font has no ✓ and ✗, so they are strokes in green and red."""
    x, y = at
    for part in re.split("([✓✗])", text):
        if part == "✓":
            draw.line([(x, y + 8), (x + 2, y + 11), (x + 7, y + 4)], fill=_GREEN, width=2)
        elif part == "✗":
            draw.line([(x, y + 4), (x + 6, y + 11)], fill=_RED, width=2)
            draw.line([(x, y + 11), (x + 6, y + 4)], fill=_RED, width=2)
        else:
            draw.text((x, y), part, fill=ink, font=font)
        x += font.getlength(part)


def _fit(image: Image.Image) -> Image.Image:
    """Scaled to the cell's width; by whole factors where that fits, so that pixels stay square."""
    height = max(1, round(image.height * _CELL_PX / image.width))
    whole = gcd(image.width, _CELL_PX) == image.width
    how = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((_CELL_PX, height), how)


def _wrap(text: str, font: Font, width_px: int) -> list[str]:
    """Lines no wider than `width_px`; words too long for one are broken, long texts end in …"""
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        while font.getlength(word) > width_px:
            fits = next(n for n in range(len(word), 0, -1) if font.getlength(word[:n]) <= width_px)
            lines += [line, word[:fits]] if line else [word[:fits]]
            line, word = "", word[fits:]
        wider = f"{line} {word}".strip()
        if font.getlength(wider) <= width_px:
            line = wider
        else:
            lines.append(line)
            line = word
        if len(lines) > _MAX_LINES:
            break
    lines += [line] if line else []
    if len(lines) > _MAX_LINES:
        lines = lines[:_MAX_LINES]
        while font.getlength(lines[-1] + " …") > width_px:
            lines[-1] = lines[-1][:-1]
        lines[-1] += " …"
    return lines
