"""Cut the sprites out of the emoji font; run once when a noun is added.

python -m attention_studio.emoji.train.cut_sprites NotoColorEmoji.ttf
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..words import GLYPHS

__all__ = ["cut"]

_SIDE = 128
_STRIKE = 109  # the only bitmap size in the font, pixels


def cut(font_file: Path, folder: Path) -> None:
    """Write each glyph as an RGBA square of 128 px that its ink fills in one direction."""
    font = ImageFont.truetype(str(font_file), _STRIKE)
    for noun, glyph in GLYPHS.items():
        drawn = Image.new("RGBA", (160, 160))
        ImageDraw.Draw(drawn).text((8, 8), glyph, font=font, embedded_color=True)
        ink = drawn.crop(drawn.getbbox())
        scale = _SIDE / max(ink.size)
        width, height = (max(round(side * scale), 1) for side in ink.size)
        square = Image.new("RGBA", (_SIDE, _SIDE))
        scaled = ink.resize((width, height), Image.Resampling.LANCZOS)
        square.paste(scaled, ((_SIDE - width) // 2, (_SIDE - height) // 2))
        square.save(folder / f"{noun}.png", optimize=True)


if __name__ == "__main__":
    cut(Path(sys.argv[1]), Path(__file__).parent.parent / "sprites")
