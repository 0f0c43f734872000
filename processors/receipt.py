"""What a run changed, where and by how much, from the pictures and the word maps alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log10

import torch
from torch import Tensor

from .recorder import Maps

__all__ = ["Receipt", "compare", "map_shift", "two_of"]

_NONE, _WEAK = 0.25, 1.0  # ours: mean change of the 0-255 scale below which an edit is not seen


@dataclass(frozen=True)
class Receipt:
    """One edit against its source. A figure that cannot be known is None.

    changed_inside, changed_outside: mean absolute difference of pixels, 0–255.
    psnr_outside: dB; inf when nothing changed there.
    map_shift:    for each word of both prompts, 0 (same place) to 1 (elsewhere altogether).
    effect:       "visible", "weak" or "none".
    notes:        what controls say that they did: who was kept apart from whom.
    """

    changed_inside: float | None
    changed_outside: float | None
    psnr_outside: float | None
    effect: str
    map_shift: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare(source: Tensor, edit: Tensor, inside: Tensor | None = None) -> Receipt:
    """Two pictures [3, h, w] in [0, 1]; inside [h, w] bool is where the edit was meant.

    Without `inside` the whole picture counts as inside.
    """
    if source.shape != edit.shape:
        raise ValueError(
            f"edit: came {tuple(edit.shape)}; expected the source's {tuple(source.shape)}"
        )
    change = (edit.float() - source.float()).abs() * 255
    everywhere = torch.ones(change.shape[-2:], dtype=torch.bool, device=change.device)
    within = everywhere if inside is None else inside.to(change.device)
    if within.shape != change.shape[-2:]:
        raise ValueError(f"inside: came {tuple(within.shape)}; expected {tuple(change.shape[-2:])}")
    changed_inside, changed_outside = _mean(change[:, within]), _mean(change[:, ~within])
    effect = _effect(changed_inside if changed_inside is not None else float(change.mean()))
    heard = {"none": "the controls had no visible effect", "weak": "the controls had a weak effect"}
    return Receipt(
        changed_inside=changed_inside,
        changed_outside=changed_outside,
        psnr_outside=_psnr(change[:, ~within]),
        effect=effect,
        warnings=(heard[effect],) if effect in heard else (),
    )


def two_of(
    images: Sequence[Tensor], prompts: int, each: int, edit: int, image: int
) -> tuple[Tensor, Tensor]:
    """The source's picture and an edit's, of all pictures of a call, `each` of every prompt."""
    if len(images) != prompts * each or not 0 < edit < prompts:
        raise ValueError(
            f"images, edit: came {len(images)} pictures and edit {edit}; the run had {prompts} "
            f"prompts of {each} pictures"
        )
    return images[image], images[edit * each + image]


def map_shift(maps: Maps, prompt: int, image: int = 0) -> dict[str, float]:
    """Total variation between a word's normalised map in an edit and in the source.

    d = ½ sum_i |a_i / sum a − b_i / sum b|  for every word recorded in both.
    """
    both = [word for p, word in maps.words if p == prompt and (0, word) in maps.words]
    shifts = {}
    for word in both:
        grid = maps.grids[-1]
        a, b = (maps.get(word, prompt=p, image=image, grid=grid) for p in (0, prompt))
        shifts[word] = float((a / a.sum() - b / b.sum()).abs().sum() / 2)
    return shifts


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if values.numel() else None


def _psnr(change: Tensor) -> float | None:
    if not change.numel():
        return None
    error = float(change.square().mean())
    return 10 * log10(255**2 / error) if error else inf


def _effect(change: float) -> str:
    return "none" if change < _NONE else "weak" if change < _WEAK else "visible"
