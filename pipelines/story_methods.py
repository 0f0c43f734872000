"""What holds in the last run of a scene: methods of stories by name, as controls on subjects.

A method gets the subjects that are in the scene, whose portraits are prompts 0, 1, … and after
which the scene is the last prompt. In all of them portraits look at nobody, so they come out as
they did by themselves: StoryDiffusion's and ConsiStory's memories, and StyleAligned's reference,
are written that way too.

    base                 none
    style-aligned        Hertz et al. 2023 (arXiv:2312.02133); the first portrait's style
    consistory           Tewel et al. 2024 (arXiv:2402.03286); its shared attention and vanilla
                         queries, without feature injection
    storydiffusion       Zhou et al. 2024 (arXiv:2405.01434); memories of all, which nothing keeps
                         apart
    dreamstory           He et al. 2024 (arXiv:2407.12899); all queries read all portraits
    isolate              IR-Diffusion's isolation alone
    isolate + reposition IR-Diffusion's two, reposition at the level of tokens
    isolate + reposition latents
                         the same at the level of latents, ours; UNets only
    ir-diffusion         He et al. 2024 (arXiv:2411.19261); these and mutual cross-attention
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

__all__ = ["STORY_METHODS", "Method", "OnCanvases", "dreamstory", "isolated_and_repositioned"]

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


_WHOLE = (0.0, 0.0, 1.0, 1.0)


def isolated_and_repositioned(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    """IR-Diffusion's three."""
    return IsolateSubjects(subjects), RepositionSubjects(subjects), ReadSubjectPrompts(subjects)


def dreamstory(subjects: tuple[Subject, ...]) -> tuple[Control, ...]:
    """DreamStory, He et al. 2024 (arXiv:2407.12899): nobody is kept apart nor moved."""
    return RepositionSubjects(subjects, gate=False, move=False), ReadSubjectPrompts(subjects)


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
        "storydiffusion": _storydiffusion,
        "dreamstory": dreamstory,
        "isolate": lambda subjects: (IsolateSubjects(subjects),),
        "isolate + reposition": lambda subjects: (
            IsolateSubjects(subjects),
            RepositionSubjects(subjects),
        ),
        "isolate + reposition latents": OnCanvases(
            lambda subjects: (
                IsolateSubjects(subjects),
                RepositionSubjects(subjects, move=False),  # they stand there already
            )
        ),
        "ir-diffusion": isolated_and_repositioned,
    }
)
