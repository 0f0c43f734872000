"""What scenes read of the portraits of a story, kept from one scene to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..processors.call import Kind, Site
from ..processors.control import Control
from ..processors.controls import (
    AlignStyle,
    BlendQueries,
    IsolateSubjects,
    ReadSubjectPrompts,
    RepositionSubjects,
    ShareSubjects,
    ShareTokens,
)
from ..processors.controls.blocks import decoding, within
from ..processors.families import family_of
from ..processors.memory import Memory

__all__ = ["BUDGET_BYTES", "Memories", "sites_read"]

# A portrait with guidance, its decoder's states in half precision: SD 1.5 at 512 px and 50 steps
# 1.28 GiB, SDXL at 1024 px and 30 steps 6.2 GiB, twice that in fp32. 4 GiB are three of SD 1.5's,
# and what a machine of 16 GiB has to spare; for SDXL's somebody has to say that there is more.
BUDGET_BYTES = 4 * 2**30


@dataclass(eq=False)
class Memories:
    """Of portraits by prompt and seed; stories that draw in the same way may share them.

    budget_bytes: of all together.
    device:       where they are; the CPU, whose memory is larger.
    """

    budget_bytes: int = BUDGET_BYTES
    device: torch.device | str = "cpu"
    _kept: dict[tuple[str, int], Memory] = field(default_factory=dict, init=False)
    _facts: object = field(default=None, init=False)

    @property
    def used_bytes(self) -> int:
        """Of all that is kept."""
        return sum(memory.used_bytes for memory in self._kept.values())

    def recall(
        self,
        portraits: Sequence[tuple[str, int]],
        sites: frozenset[str],
        facts: object,
        draw: Callable[[Memory, int], None],
    ) -> tuple[Memory, ...] | None:
        """Memories of these sites for portraits by prompt and seed; None where they do not fit.

        facts: all else that they depend on; what was drawn under others is forgotten.
        draw:  lets a memory keep a portrait, drawn with a seed, that is not there as asked for.
        """
        if not sites:
            return tuple(Memory(prompt, sites) for prompt, _ in portraits)
        self._forget_others(facts)
        found = []
        for prompt, seed in portraits:
            memory = self._find(prompt, seed, sites)
            if memory is None:
                memory = self.begin(prompt, seed, sites)
                draw(memory, seed)
                self.put(seed, facts, memory)
            if memory.over:
                return None
            found.append(memory)
        return tuple(found)

    def begin(self, prompt: str, seed: int, sites: frozenset[str]) -> Memory:
        """An empty memory for a portrait that is about to be drawn, of sites known before too."""
        before = self._kept.get((prompt, seed))
        if before is not None and not before.over:
            sites |= before.sites
        return Memory(prompt, sites, self._left(prompt, seed), self.device)

    def put(self, seed: int, facts: object, memory: Memory) -> None:
        """The portrait was drawn, with this seed and under these facts."""
        self._forget_others(facts)
        self._kept[memory.prompt, seed] = memory

    def forget(self, prompt: str, seed: int) -> None:
        """A portrait that no scene will read again."""
        self._kept.pop((prompt, seed), None)

    def full(self) -> str:
        """What is said where portraits do not fit."""
        return (
            f"memories: those of the portraits need more than {self.budget_bytes / 2**30:.3g} GiB, "
            "so portraits were drawn again beside the scene"
        )

    def _find(self, prompt: str, seed: int, sites: frozenset[str]) -> Memory | None:
        """`over` is set where the budget, as far as it is free now, does not hold it."""
        memory = self._kept.get((prompt, seed))
        if memory is None or not sites <= memory.sites:
            return None
        freed = memory.over and self._left(prompt, seed) > (memory.limit_bytes or 0)
        return None if freed else memory

    def _forget_others(self, facts: object) -> None:
        if facts != self._facts:
            self._kept.clear()
            self._facts = facts

    def _left(self, prompt: str, seed: int) -> int:
        others = (m.used_bytes for key, m in self._kept.items() if key != (prompt, seed))
        return self.budget_bytes - sum(others)


def sites_read(pipe: Any, controls: Sequence[Control], scene: int) -> frozenset[str] | None:
    """Names of the sites at which these controls let a scene, prompt number `scene`, read others.

    None where portraits have to be drawn beside it: for a control of which it is not known that it
    leaves them alone, and for models whose texts have lengths of their own.
    """
    family = family_of(pipe)
    if not family.padded or not all(_leaves_others(control, scene) for control in controls):
        return None
    sites = [site for _, site in family.sites(family.denoiser(pipe))]
    return frozenset(site.name for site in sites if any(_reads(c, site) for c in controls))


def _leaves_others(control: Control, scene: int) -> bool:
    if isinstance(control, IsolateSubjects | RepositionSubjects | ReadSubjectPrompts):
        return control.prompts in (None, (scene,))
    if isinstance(control, ShareSubjects) and not control.where:
        return False  # it looks for its words in all pictures
    if isinstance(control, AlignStyle | BlendQueries | ShareSubjects | ShareTokens):
        return control.prompts == (scene,)
    return False


def _reads(control: Control, site: Site) -> bool:
    """Whether it reads rows of others there, in any step."""
    match control:
        case AlignStyle():
            return site.kind is not Kind.CROSS and within(site, control.blocks)
        case RepositionSubjects():
            return site.kind is not Kind.CROSS and control.deep(site)
        case ShareSubjects() | ShareTokens():
            return site.kind is not Kind.CROSS and decoding(site, control.blocks)
        case ReadSubjectPrompts():
            return site.kind is not Kind.SELF and control.deep(site)
    return False
