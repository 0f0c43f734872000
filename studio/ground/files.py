"""The files of a grounding: the map over the picture, the mask, the map alone, the figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from ..gallery import write_png
from ..whole_files import write_whole

if TYPE_CHECKING:
    from ..pipelines.grounding import Grounding

__all__ = ["GroundFiles", "facts_of", "save_grounding"]

_POINT_PX = 4


@dataclass(frozen=True)
class GroundFiles:
    """overlay: the map over the picture, with the mask's rim, the box and the point.

    mask: of the picture's size, white where the expression is.
    raw:  16-bit grey PNG on the map's own grid; 65535 stands for all of a place's attention.
    facts: JSON.
    """

    overlay: Path
    mask: Path
    raw: Path
    facts: Path

    @classmethod
    def named(cls, folder: Path, stem: str) -> GroundFiles:
        """The paths, whether or not they are there."""
        ends = ("overlay.png", "mask.png", "map.png", "ground.json")
        return cls(*(folder / f"{stem}-{end}" for end in ends))

    @property
    def paths(self) -> dict[str, Path]:
        return {"overlay": self.overlay, "mask": self.mask, "raw": self.raw, "facts": self.facts}


def facts_of(found: Grounding) -> dict[str, Any]:
    """For JSON: pixels are those of the picture that came, x before y."""
    return {
        "expression": found.expression,
        "prompt": found.prompt,
        "point": list(found.point_px),
        "box": list(found.box_px),
        "peaks": [list(peak) for peak in found.peaks_px],
        "mask_share": round(float(found.mask.float().mean()), 4),
        "map_peak": round(float(found.heat.max()), 4),
        "map_grid": list(found.heat.shape),
        "words": {word: round(float(heat.max()), 4) for word, heat in found.words.items()},
        "counted": list(found.counted),
        "dropped": list(found.dropped),
        "sinks": {token: round(part, 3) for token, part in found.sinks.items()},
        "warnings": list(found.warnings),
        "timings": {"ground": round(found.seconds, 3)},
    }


def save_grounding(
    found: Grounding, picture: Image.Image, folder: Path, stem: str, made: dict[str, Any]
) -> GroundFiles:
    """Writes all four; made: what else the JSON says of how they were made."""
    files = GroundFiles.named(folder, stem)
    write_png(_overlay(found, picture), files.overlay)
    write_png(Image.fromarray(found.mask.numpy().astype(np.uint8) * 255), files.mask)
    levels = np.rint(found.heat.numpy().clip(0, 1) * 65535).astype(np.uint16)
    write_png(Image.fromarray(levels), files.raw)
    text = json.dumps(facts_of(found) | made, indent=2, ensure_ascii=False) + "\n"
    write_whole(files.facts, text)
    return files


def _overlay(found: Grounding, picture: Image.Image) -> Image.Image:
    from ..evaluate.heat import overlay

    shown = overlay(picture, found.heat.numpy(), found.mask.numpy())
    scale = shown.width / picture.width, shown.height / picture.height
    draw = ImageDraw.Draw(shown)
    left, top, right, bottom = found.box_px
    first = left * scale[0], top * scale[1]
    last = max(right * scale[0] - 1, first[0]), max(bottom * scale[1] - 1, first[1])
    draw.rectangle((first, last), outline=(255, 255, 255))
    x, y = ((at + 0.5) * part for at, part in zip(found.point_px, scale, strict=True))
    dot = (x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX)
    draw.ellipse(dot, fill=(255, 255, 255), outline=(0, 0, 0))
    return shown
