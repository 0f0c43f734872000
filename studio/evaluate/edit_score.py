"""Whether an edit did what it should and nothing else: the rules of the suite `edit`.

An edit *changed* the picture when the judge finds the new thing (in its colour, where one is said)
and no longer finds the old one. It is a *joint* success when, besides, the peak signal-to-noise
ratio outside is 30 dB or more. Outside is the complement of the judged old and new things, widened
by 4 px (`edit_region`), never a blend's mask; where the judge finds none of them it is everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image

from ..edit_region import edit_region
from ..emoji.expect import expect
from ..emoji.render import Scene
from ..emoji.score import score
from ..processors.receipt import compare
from ..recipe import Recipe
from .edits import Edit

__all__ = ["PSNR_DB", "EditScore", "score_edit"]

PSNR_DB = 30.0


@dataclass(frozen=True)
class EditScore:
    """One picture against its source.

    there, gone:  the new thing is found; the old one is not.
    psnr_outside: dB; None when nothing lies outside.
    """

    there: bool
    gone: bool
    psnr_outside: float | None

    @property
    def changed(self) -> bool:
        return self.there and self.gone

    @property
    def joint(self) -> bool:
        kept = self.psnr_outside is not None and self.psnr_outside >= PSNR_DB
        return self.changed and kept


def score_edit(edit: Edit, source: tuple[Image, Scene], result: tuple[Image, Scene]) -> EditScore:
    """Each picture with what the judge sees in it."""
    new = score(result[1], expect(edit.target)).things[edit.thing]
    noun, colour = edit.before
    still = [
        seen
        for name, seen in zip(result[1].nouns, result[1].colours, strict=True)
        if name == noun and (edit.kind == "swap" or seen == colour)
    ]
    recipe = Recipe(prompts=(edit.source, edit.target))
    inside = edit_region(recipe, 1, (source[1], result[1]))
    if inside is None:
        inside = torch.zeros(source[0].height, source[0].width, dtype=torch.bool)
    found = compare(_pixels(source[0]), _pixels(result[0]), inside)
    return EditScore(
        there=new.found and new.colour_ok is not False,
        gone=not still,
        psnr_outside=found.psnr_outside,
    )


def _pixels(image: Image) -> torch.Tensor:
    """[3, h, w] in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"), np.float32) / 255).permute(2, 0, 1)
