"""Subjects of a story: where each is in the scene and in its portrait, as labels of a token grid.

IR-Diffusion, He et al. 2024 (arXiv:2411.19261) keeps subjects apart by masks. Differs: masks that
overlap are made exclusive first, since a token of two subjects could not even see itself there;
and a mask that covers everything is a full one (the released code takes it for empty).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..call import Grid
from ..control import Prompts
from .gates import found_in
from .regions import Region, check_region, covered

__all__ = [
    "Overlap",
    "Subject",
    "check_subjects",
    "held",
    "label_map",
    "numbered",
    "scenes",
    "seat",
]

Overlap: TypeAlias = Literal["small-front", "first-front", "drop", "official"]
"""Whose a token of several subjects is: the smallest one's (ours), the first one's, nobody's, or,
as in the released code, the largest one's."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One subject.

    name:     how messages call it; of two subjects different.
    where:    its place in the scene: a box, a painted mask, or a word of the scene's prompt. A mask
              of zeros says that it is not there.
    portrait: number of the prompt that draws its portrait; None = it has none.
    seat:     its place in the portrait; None = all of it.
    """

    name: str
    where: Region | str
    portrait: int | None = None
    seat: Region | None = None


def check_subjects(
    subjects: Sequence[Subject], prompts: Prompts, control: str, overlap: str, *, portraits: bool
) -> None:
    """ValueError for subjects that a run cannot have."""
    if overlap not in get_args(Overlap):
        raise ValueError(
            f"overlap: came {overlap!r}; expected {', '.join(map(repr, get_args(Overlap)))}"
        )
    names = [subject.name for subject in subjects]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"subjects: two are called {twice!r}; expected distinct names, and a box or a mask for "
            "each where one word says both"
        )
    for subject in subjects:
        if isinstance(subject.where, str):
            found_in(prompts.tokenized(control), subject.where)
        elif not _empty(subject.where):
            check_region(subject.where, f"subjects: the place of {subject.name!r}")
        if subject.seat is not None and not _empty(subject.seat):
            check_region(subject.seat, f"subjects: the seat of {subject.name!r}")
        if subject.portrait is None and portraits:
            raise ValueError(
                f"subjects: {subject.name!r} came without a portrait; expected the number of the "
                f"prompt that draws it for {control}"
            )
        if subject.portrait is not None and not 0 <= subject.portrait < prompts.count:
            raise ValueError(
                f"subjects: the portrait of {subject.name!r} came as prompt {subject.portrait}; "
                f"the run has prompts 0 to {prompts.count - 1}"
            )


def scenes(
    subjects: Sequence[Subject], prompts: Prompts, asked: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Prompts in which the subjects are: those asked for, or all that are no portraits.

    ValueError when there is none, or for a portrait.
    """
    portraits = {subject.portrait for subject in subjects}
    chosen = (
        tuple(p for p in range(prompts.count) if p not in portraits) if asked is None else asked
    )
    wrong = [p for p in chosen if p in portraits or not 0 <= p < prompts.count]
    if wrong or not chosen:
        raise ValueError(
            f"prompts: came {list(chosen)} of {prompts.count} prompts, of which "
            f"{sorted(p for p in portraits if p is not None)} are portraits; expected scenes"
        )
    return chosen


def numbered(name: str, given: Sequence[int] | None, prompts: Prompts) -> frozenset[int]:
    """Numbers of prompts, None = all; ValueError, naming the argument, for one the run lacks."""
    chosen = frozenset(range(prompts.count) if given is None else given)
    wrong = sorted(chosen - set(range(prompts.count)))
    if wrong:
        raise ValueError(f"{name}: came prompt {wrong[0]}; the run has 0 to {prompts.count - 1}")
    return chosen


def held(where: Region, grid: Grid, name: str) -> Tensor:
    """[h, w] bool: the subject's tokens; none for an empty mask."""
    if _empty(where):
        return torch.zeros(grid, dtype=torch.bool)
    return covered(where, grid, f"subjects: the place of {name!r}")


def seat(subject: Subject, grid: Grid) -> Tensor:
    """[h, w] bool: its tokens in the portrait."""
    if subject.seat is None:
        return torch.ones(grid, dtype=torch.bool)
    return held(subject.seat, grid, subject.name)


def label_map(masks: Sequence[Tensor], overlap: Overlap) -> Tensor:
    """[h, w] int64 from S masks [h, w] bool: 0 = nobody's, i = that of masks[i - 1]."""
    labels = torch.zeros(masks[0].shape, dtype=torch.int64)
    sizes = [int(mask.sum()) for mask in masks]
    order = list(range(len(masks)))[::-1]  # the last one written is in front
    if overlap == "small-front":
        order.sort(key=lambda i: -sizes[i])
    elif overlap == "official":
        order.sort(key=lambda i: sizes[i])
    for i in order:
        labels[masks[i]] = i + 1
    if overlap == "drop":
        labels[torch.stack(list(masks)).sum(0) > 1] = 0
    return labels


def _empty(where: Region) -> bool:
    return isinstance(where, Tensor) and where.ndim == 2 and not bool(where.any())
