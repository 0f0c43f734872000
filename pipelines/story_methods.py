"""What holds in the last run of a scene: methods of stories by name, as controls on subjects.

A method gets the subjects that are in the scene, whose portraits are prompts 0, 1, … and after
which the scene is the last prompt. In all of them portraits look at nobody, so they come out as
they did by themselves: StoryDiffusion's and ConsiStory's memories, and StyleAligned's reference,
are written that way too.

    base                 none
    style-aligned        Hertz et al. 2023 (arXiv:2312.02133); the first portrait's style
    consistory           Tewel et al. 2024 (arXiv:2402.03286); its shared attention and vanilla
                         queries, without feature injection
    consistory + features
                         all of it; UNets only
    storydiffusion       Zhou et al. 2024 (arXiv:2405.01434); memories of all, which nothing keeps
                         apart
    dreamstory           He et al. 2024 (arXiv:2407.12899); all queries read all portraits
    isolate              IR-Diffusion's isolation alone
    isolate + reposition IR-Diffusion's two, reposition at the level of tokens
    isolate + reposition latents
                         the same at the level of latents, ours; UNets only
    ir-diffusion         He et al. 2024 (arXiv:2411.19261); these and mutual cross-attention
    ir-diffusion latents the same with reposition at the level of latents, ours; UNets only
    ir-diffusion late    the same as ir-diffusion in the last two fifths of the steps, ours
    reposition late      its reposition alone in these steps, ours

A portrait's prompt and tokens speak of a picture with one thing: read from the first step on, while
the layout is decided, they draw it anew within each place, and small things vanish. The last one
leaves the layout to the scene, and is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ..processors.control import Control
from ..processors.controls import (
    AlignStyle,
    BlendQueries,
    IsolateSubjects,
    ReadSubjectPrompts,
    RepositionSubjects,
    ShareSubjects,
    ShareTokens,
    Subject,
)
from ..processors.interval import Interval

__all__ = [
    "STORY_METHODS",
    "Method",
    "OnCanvases",
    "WithFeatures",
    "dreamstory",
    "isolated_and_repositioned",
]

Method: TypeAlias = Callable[[tuple[Subject, ...]], Sequence[Control]]
"""From subjects, with the portraits as prompts 0, 1, …, to the controls of the last run."""


@dataclass(frozen=True)
class OnCanvases:
    """A method for which portraits are pasted into their places before the denoiser sees them.

    It gets subjects whose seats are those places. Pictures of the portraits that come out of its
    run are of no use.
    """

    method: Method

    def __call__(self, subjects: tuple[Subject, ...]) -> Sequence[Control]:
        return self.method(subjects)


@dataclass(frozen=True)
class WithFeatures:
    """A method with feature injection: the scene is drawn twice, portraits beside it.

    In the second run each subject takes over what attention gave its like in its portrait, of
    which the first run's features tell (`injected_features`).
    """

    method: Method

    def __call__(self, subjects: tuple[Subject, ...]) -> Sequence[Control]:
        return self.method(subjects)


_WHOLE = (0.0, 0.0, 1.0, 1.0)
_LATE = Interval(0.6, 1.0)


def isolated_and_repositioned(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    """IR-Diffusion's three."""
    return IsolateSubjects(subjects), RepositionSubjects(subjects), ReadSubjectPrompts(subjects)


def dreamstory(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    """DreamStory, He et al. 2024 (arXiv:2407.12899): nobody is kept apart nor moved."""
    return RepositionSubjects(subjects, gate=False, move=False), ReadSubjectPrompts(subjects)


def _placed(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    return (
        IsolateSubjects(subjects),
        RepositionSubjects(subjects, move=False),  # they stand there already
    )


def _placed_and_read(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    return *_placed(subjects), ReadSubjectPrompts(subjects)


def _late(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    return (
        IsolateSubjects(subjects, during=_LATE),
        RepositionSubjects(subjects, during=_LATE),
        ReadSubjectPrompts(subjects, during=_LATE),
    )


def _consistory(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    scene = len(subjects)
    seats = (_WHOLE if subject.seat is None else subject.seat for subject in subjects)
    where = (*seats, _WHOLE)  # the scene is no anchor: its own place is not asked for
    return (
        ShareSubjects(where=where, anchors=tuple(range(scene)), prompts=(scene,)),
        BlendQueries(prompts=(scene,)),
    )


def _storydiffusion(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    scene = len(subjects)
    return (ShareTokens(sources=tuple(range(scene)), prompts=(scene,)),)


STORY_METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "base": lambda subjects: (),
        "style-aligned": lambda subjects: (AlignStyle(prompts=(len(subjects),)),),
        "consistory": _consistory,
        "consistory + features": WithFeatures(_consistory),
        "storydiffusion": _storydiffusion,
        "dreamstory": dreamstory,
        "isolate": lambda subjects: (IsolateSubjects(subjects),),
        "isolate + reposition": lambda subjects: (
            IsolateSubjects(subjects),
            RepositionSubjects(subjects),
        ),
        "isolate + reposition latents": OnCanvases(_placed),
        "ir-diffusion": isolated_and_repositioned,
        "ir-diffusion latents": OnCanvases(_placed_and_read),
        "ir-diffusion late": _late,
        "reposition late": lambda subjects: (RepositionSubjects(subjects, during=_LATE),),
    }
)
