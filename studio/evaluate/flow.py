"""FlowEdit in the suite `edit`: the baseline of models that predict a flow, without inversion.

The source is drawn anew by the pipeline, and its final latents are led to the target prompt before
the pipeline decodes them: what FlowEdit begins from has lost nothing to an autoencoder or a file,
and its seconds are, like those of Prompt-to-Prompt, those of source and edit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from ..drawing import Watch, draw_plain
from ..pipelines.calls import length_arguments
from ..pipelines.flow_conditioning import predicts_flow
from ..pipelines.flow_editing import flow_edit
from ..processors.families import family_of
from ..recipe import Recipe

__all__ = ["FlowSettings", "draw_flow", "flow_settings"]


@dataclass(frozen=True)
class FlowSettings:
    """How FlowEdit edits; no step is left to plain sampling, as by its authors.

    start: part of the steps, from the noisiest, that are left out (authors: (S − n_max) / S).
    source_guidance, target_guidance: as `flow_edit` has them.
    draws: noises whose directions a step takes the mean of (authors: n_avg).
    """

    start: float
    source_guidance: float
    target_guidance: float
    draws: int = 1

    def changed(self, steps: int) -> int:
        """Of so many steps those that change the picture (authors: n_max)."""
        return max(1, steps - round(self.start * steps))

    def text(self, steps: int) -> str:
        """For the head of a table."""
        return (
            f"FlowEdit in the last {self.changed(steps)} steps, guidance {self.source_guidance:g} "
            f"and {self.target_guidance:g}, draws {self.draws}"
        )


_SD3 = FlowSettings(17 / 50, 3.5, 13.5)  # n_max 33 of 50
_DISTILLED = FlowSettings(4 / 28, 1.5, 5.5)  # FLUX, n_max 24 of 28
_GUIDED = FlowSettings(4 / 28, 1.5, 3.5)
"""ours, for FLUX without distilled guidance; not tried on Qwen-Image. Joint successes of emoji-flux
in six edits of the tuning range: 6 with these; 6 with 1.5 and 2.5, one of which exchanged the
places of two things; 4 with 1.5 and 5.5; 3 with 2.5 and 9; none with 3.5 and 13.5 (speckled)."""


def flow_settings(pipe: Any, asked: FlowSettings | None = None) -> FlowSettings | None:
    """Those asked for, else the authors' where they have some for the pipeline's model, else ours.

    None for a model that predicts no flow; ValueError where settings are asked for nevertheless.
    """
    if not predicts_flow(pipe):
        if asked is not None:
            raise ValueError(
                f"flow: settings came for a {type(pipe).__name__}, which predicts no flow; "
                "expected None, or a pipeline of Stable Diffusion 3, FLUX.1 or Qwen-Image"
            )
        return None
    if asked is not None:
        return asked
    if family_of(pipe).name == "sd3":
        return _SD3
    return _DISTILLED if getattr(pipe.transformer.config, "guidance_embeds", False) else _GUIDED


def draw_flow(pipe: Any, recipe: Recipe, settings: FlowSettings, watch: Watch) -> tuple[Image, ...]:
    """The edit of a recipe with a source and a target prompt, its size being known.

    The noise of FlowEdit is that of the seed after the recipe's, from which the source was drawn.
    """
    source, target = recipe.prompts
    assert recipe.size is not None
    height, width = (side // pipe.vae_scale_factor for side in recipe.size)

    def lead(latents: Any) -> Any:
        return flow_edit(
            pipe,
            latents,
            source,
            target,
            size=(height, width),
            seed=recipe.seed + 1,
            negative=recipe.negative,
            steps=recipe.steps,
            changed=settings.changed(recipe.steps),
            source_guidance=settings.source_guidance,
            target_guidance=settings.target_guidance,
            draws=settings.draws,
            **length_arguments(pipe),
        )

    drawn_from = recipe.model_copy(update={"prompts": (source,), "controls": ()})
    return draw_plain(pipe, drawn_from, _Leading(watch, lead))


class _Leading(Watch):
    """A watch that hands the latents of the last step to `lead`."""

    def __init__(self, watch: Watch, lead: Callable[[Any], Any]) -> None:
        super().__init__(watch.total, watch.steps)
        self._watch, self._lead = watch, lead

    def __call__(
        self, pipe: object, step: int, t: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        if step == self.steps - 1:
            tensors["latents"] = self._lead(tensors["latents"])
        return self._watch(pipe, step, t, tensors)
