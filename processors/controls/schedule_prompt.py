"""Prompt scheduling: from a step on, a prompt's text is another one.

The web UI of AUTOMATIC1111 and others write it [from:to:when]. With E the text encoder:

    c_p(step) = E(text of the last of prompt p's stages that has begun)

p: prompt. No attention is edited: what holds the picture together is what it has become by then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor

from ..call import Batch, Site, Step
from ..control import Control, Prompts
from ..step import Inputs

__all__ = ["SchedulePrompt"]

Stage = tuple[float, str]
"""The part of the denoising from which a text holds, and the text."""


@dataclass(frozen=True, eq=False)
class SchedulePrompt(Control):
    """Only the denoiser's text changes: the unconditional rows, SDXL's pooled embedding and what a
    ControlNet reads stay as they are.

    Words of other controls are looked up in the prompt as the run was given it: end those controls
    with it, or write later texts whose words stand at the same places.

    later:  for each prompt its later stages; starts rise, 1 = never. Prompts may be left out.
    embeds: for each prompt (start, [T, C], or the number of the prompt that has this text); made by
            bind.
    """

    later: tuple[tuple[Stage, ...], ...] = ()
    embeds: tuple[tuple[tuple[float, Tensor | int], ...], ...] = ()

    def bind(self, prompts: Prompts) -> SchedulePrompt | None:
        if len(self.later) > prompts.count:
            raise ValueError(
                f"later: came stages for {len(self.later)} prompts; expected an entry for each of "
                f"the {prompts.count}"
            )
        texts = prompts.texts or ()
        coming = [_coming(stages) for stages in self.later]
        if all(texts[p : p + 1] == (text,) for p, own in enumerate(coming) for _, text in own):
            return None
        known: dict[str, Tensor | int] = {text: p for p, text in reversed([*enumerate(texts)])}
        new = list(dict.fromkeys(t for own in coming for _, t in own if t not in known))
        if new:
            if prompts.encode is None:
                raise ValueError(f"later: no pipeline is there to encode {new[0]!r}")
            known.update(zip(new, prompts.encode(new), strict=True))
        embeds = tuple(tuple((start, known[text]) for start, text in own) for own in coming)
        return replace(self, embeds=embeds)

    def acts(self, site: Site, step: Step) -> bool:
        return False  # at no attention call; `apply` changes what all of them read

    def apply(self, inputs: Inputs, step: Step, batch: Batch) -> Inputs:
        context = inputs.context.clone()
        for row in batch.cond:
            prompt, image = batch.rows[row].prompt, batch.rows[row].image
            for start, embed in self.embeds[prompt] if prompt < len(self.embeds) else ():
                if start > step.progress:
                    break
                if isinstance(embed, int):
                    embed = inputs.context[batch.row_of(embed, image)]
                context[row] = embed
        return replace(inputs, context=context)


def _coming(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Those that come to pass; ValueError when the starts make no sense."""
    starts = [start for start, _ in stages]
    if any(not 0 <= start <= 1 for start in starts) or any(a >= b for a, b in pairwise(starts)):
        raise ValueError(f"later: came starts {starts}; expected rising parts of the run in [0, 1]")
    return tuple((start, text) for start, text in stages if start < 1)
