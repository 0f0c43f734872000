"""A contact sheet: pictures in a grid, the prompt and a verdict under each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, gcd
from typing import TypeAlias
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "printable"]

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

Ink: TypeAlias = tuple[int, int, int]

_PAPER = (252, 251, 248)
_INK = (32, 33, 36)
_GREY = (110, 112, 118)
_GREEN, _RED = (30, 132, 73), (192, 57, 43)
_MARGIN_PX, _GAP_PX, _LINE_PX = 28, 24, 20
_CELL_PX = 256
_MAX_LINES = 4


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
    title, small = ImageFont.load_default(15), ImageFont.load_default(13)
    notes = verdicts or [""] * len(images)
    texts = [
        (_wrap(caption, title, _CELL_PX), _wrap(note, small, _CELL_PX))
        for caption, note in zip(captions, notes, strict=True)
    ]
    text_px = _LINE_PX * max(len(above) + len(below) for above, below in texts)
    cells = [_fit(image) for image in images]
    rows = ceil(len(images) / columns)
    cell_h = max(cell.height for cell in cells) + 12 + text_px
    width = 2 * _MARGIN_PX + columns * _CELL_PX + (columns - 1) * _GAP_PX
    sheet = Image.new("RGB", (width, 2 * _MARGIN_PX + rows * cell_h + (rows - 1) * _GAP_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (cell, (above, below)) in enumerate(zip(cells, texts, strict=True)):
        x = _MARGIN_PX + (i % columns) * (_CELL_PX + _GAP_PX)
        y = _MARGIN_PX + (i // columns) * (cell_h + _GAP_PX)
        sheet.paste(cell, (x, y))
        y += cell.height + 12
        for line in above:
            _line(draw, (x, y), line, _INK, title)
            y += _LINE_PX
        for line in below:
            _line(draw, (x, y), line, _GREY, small)
            y += _LINE_PX
    return sheet


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
