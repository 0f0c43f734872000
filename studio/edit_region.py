"""Where an edit was meant: the judged objects it speaks of, in the source and in the edit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .control_specs import ReweightWords
from .recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from .emoji import Scene

__all__ = ["MARGIN_PX", "edit_region"]

MARGIN_PX = 4
"""ours: the objects' masks are widened by so much, since soft edges belong to them."""


def edit_region(recipe: Recipe, edit: int, scenes: tuple[Scene, Scene] | None) -> Tensor | None:
    """[h, w] bool, or None when the judge cannot say; the picture outside it should stand.

    edit:   the number of the edited prompt, from 1.
    scenes: what the judge saw in the source and in the edit.
    """
    if scenes is None:
        return None
    import torch
    from torch.nn import functional as F  # noqa: N812  torch's own name for it

    nouns = _nouns(recipe, edit)
    masks = [
        torch.from_numpy(scene.masks[i])
        for scene in scenes
        for i, noun in enumerate(scene.nouns)
        if noun in nouns
    ]
    if not masks:
        return None
    region = torch.stack(masks).any(0).float()[None, None]
    wide = F.max_pool2d(region, 2 * MARGIN_PX + 1, stride=1, padding=MARGIN_PX)
    return wide[0, 0] > 0


def _nouns(recipe: Recipe, edit: int) -> set[str]:
    """Nouns that the edit adds, takes away, colours anew or weighs."""
    from .emoji import expect

    before, after = (Counter(expect(recipe.prompts[p]).things) for p in (0, edit))
    changed = {noun for noun, _ in ((before - after) + (after - before))}
    weighed = {
        word.casefold()
        for spec in recipe.controls
        if isinstance(spec, ReweightWords)
        for word in spec.weights
    }
    return changed | {n for n, colour in after if n in weighed or (colour and colour in weighed)}
