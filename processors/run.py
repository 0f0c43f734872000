"""One run under controls: what `attach` yields, and what the pipeline's calls do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .acting import Acting
from .call import Batch, Grid
from .clock import Clock
from .control import Control, Encode, Prompts, twins
from .families import Encoded, Family
from .memory import Remembered
from .noise import check_start
from .nudge import Nudge, nudge, spread, unmoved
from .plan import Plans
from .receipt import Receipt, compare, map_shift, two_of
from .recorder import Maps, Recorder
from .rehearsal import unrehearsed, wishes
from .step import Condition, Inputs, LatentEdit, Noting, Objective, Observer

__all__ = ["Cancelled", "Run"]


class Cancelled(Exception):  # noqa: N818  a wish, not an error
    """The run was cancelled; raised out of the pipeline's call, after which all is restored."""


class Run(Acting):
    """The live state of a run. Every call of the pipeline within one attach starts it anew."""

    def __init__(
        self,
        family: Family,
        pipe: Any,
        controls: Sequence[Control],
        budget_bytes: int,
        memory: Remembered,
    ) -> None:
        super().__init__(memory, Recorder(budget_bytes))
        self.clock = Clock()
        self._family = family
        self._pipe = pipe
        self._controls = tuple(controls)
        self._budget_bytes = budget_bytes
        self._nudges: list[Nudge] = []
        self._encoded: Encoded | None = None
        self._prompts: Prompts | None = None
        self._twins: frozenset[int] = frozenset()
        self._cancelled = False
        self._delta: Tensor | None = None
        self._began = False  # prompts are encoded and the loop has not begun

    @property
    def maps(self) -> Maps:
        """The word maps recorded so far in the last call of the pipeline."""
        return self._recorder.maps(*self._bound)

    @property
    def nudges(self) -> tuple[Nudge, ...]:
        """What objectives did to the latents, step by step, in the last call of the pipeline."""
        return tuple(self._nudges)

    @property
    def notes(self) -> tuple[str, ...]:
        """What controls that keep pictures consistent did in the last call of the pipeline."""
        return tuple(n for c in self._bound if isinstance(c, Noting) for n in c.notes())

    def receipt(
        self,
        images: Sequence[Tensor],
        *,
        edit: int = 1,
        image: int = 0,
        inside: Tensor | None = None,
    ) -> Receipt:
        """What edit number `edit` changed of the source.

        images: every picture of the call, prompt-major, each [3, h, w] in [0, 1].
        inside: [h, w] bool, where a change was meant; None = everywhere.
        """
        encoded = self._require_encoded()
        both = two_of(images, encoded.prompts, encoded.images, edit, image)
        found = compare(*both, inside)
        cut = () if self._prompts is None else self._prompts.cut()
        warnings = found.warnings + cut + unmoved(self._nudges)
        shift = map_shift(self.maps, edit, image)
        return replace(found, map_shift=shift, warnings=warnings, notes=self.notes)

    def cancel(self) -> None:
        """Ends the run at its next step, by `Cancelled`. May be called from another thread."""
        self._cancelled = True

    def check_cancelled(self) -> None:
        """Raises `Cancelled` when that was asked for."""
        if self._cancelled:
            self._cancelled = False
            raise Cancelled("the run was cancelled")

    # The pipeline's side: called by the wrappers and hooks of attach.

    def began(self, encoded: Encoded, encode: Encode | None = None) -> None:
        """The prompts are encoded: words become tokens. `encode` does the same for other texts.

        Where guidance has calls of its own, the second encoding before the loop is guidance's.
        """
        if self._family.apart and self._began and self._encoded is not None:
            self._encoded = replace(self._encoded, uncond=encoded.cond)
            return
        self._began = True
        self._encoded, self._delta, self._nudges = encoded, None, []
        self._recorder, self._plans = Recorder(self._budget_bytes), Plans()
        prompts = self._prompts = Prompts(
            self._memory.texts(encoded.texts),
            len(self._memory.recalls) + encoded.prompts,
            encoded.images,
            self._family.blocks(self._pipe, encoded.cond.shape[1]),
            encode,
            encoded.cond.shape[1],
        )
        bound = (control.bind(prompts) for control in self._controls)
        self._bound = tuple(control for control in bound if control is not None)
        self._outside = tuple(c for c in self._bound if not isinstance(c, Objective))
        self._twins = twins(prompts, self._bound)

    def entered(self, inputs: Inputs, size: Grid) -> Inputs:
        """The denoiser is called on latents of that size; the inputs to call it with."""
        self._step = self.clock.step(inputs.t)
        encoded = self._require_encoded()
        guides = inputs.context is encoded.uncond and inputs.context is not encoded.cond
        if self._began and self._family.apart and guides:  # the first call is never guidance's
            raise ValueError(
                "run: its prompts are not those that were encoded first, maybe since another call "
                "broke off before its loop; attach anew"
            )
        self._began = False
        own = self._memory.later(self._family.batch(encoded, inputs.context))
        self._batch = replace(own, twins=self._twins)
        self.latents, self.texts = size, inputs.context.shape[1]
        for control in self._bound:
            if isinstance(control, Condition):
                inputs = control.apply(inputs, self._step, self._batch)
        return inputs

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Those that want to move the latents in this step."""
        step, _ = self._now()
        return tuple(c for c in self._bound if isinstance(c, Objective) and c.rate(step))

    def nudged(
        self, inputs: Inputs, probe: Callable[[Tensor, Sequence[int]], Any], scale: Tensor
    ) -> Inputs:
        """The inputs after the objectives' step down their gradient, kept for the scheduler's.

        probe: runs the denoiser on the given sample for the given rows.    scale: c, a scalar.
        """
        (step, batch), active = self._now(), self.objectives
        part = self._family.latent_part(self._pipe, inputs, self.latents)
        if not batch.cond:  # guidance's own call: the conditional one of this step came before it
            return self._moved(inputs, part, scale) if self._delta is not None else inputs
        rows = batch.cond

        def look(seen: Tensor) -> Recorder:
            self._recorder = Recorder(self._budget_bytes)
            probe(seen, rows)
            return self._recorder

        with self._apart(rows, unrehearsed(self._bound)) as own:
            sample = inputs.sample[list(rows)]
            self._delta, done = nudge(active, step, sample, look, float(scale), part, own)
        self._nudges.append(done)
        return self._moved(inputs, part, scale)

    def _moved(self, inputs: Inputs, part: tuple[slice, ...], scale: Tensor) -> Inputs:
        (_, batch), delta = self._now(), self._delta
        assert delta is not None
        moved = inputs.sample.clone()
        moved[part] += scale * spread(delta, batch, self.shape[1])
        return replace(inputs, sample=moved)

    def rehearse(self, inputs: Inputs, probe: Callable[[Tensor, Sequence[int]], Any]) -> None:
        """Calls the denoiser without controls for those who want to see that; cf. `nudged`."""
        rows, watchers = wishes(self._bound, *self._now())
        if rows:
            with self._apart(rows, watchers), torch.no_grad():
                probe(inputs.sample[list(rows)], rows)

    @contextmanager
    def _apart(self, rows: Sequence[int], controls: tuple[Control, ...]) -> Iterator[Batch]:
        """For a call of the denoiser beside that of the step: some rows, under these controls."""
        (_, batch), recorder, plans = self._now(), self._recorder, self._plans
        own = Batch(tuple(batch.rows[row] for row in rows), batch.twins)
        self._plans = Plans()  # of fewer rows: kept apart, so that neither drives the other out
        self._batch, self._probing = own, controls
        try:
            yield own
        finally:
            self._recorder, self._plans = recorder, plans
            self._batch, self._probing = batch, None

    def left(self) -> None:
        """The denoiser is done; attention outside of it is nobody's business."""
        if self._probing is None:
            self._batch = None

    @property
    def controlled(self) -> bool:
        """Whether there is anything to do; without that the run only stands by."""
        return bool(self._controls) or self._memory.keeps is not None

    @property
    def paired(self) -> bool:
        """Whether edits are held against a source in this call of the pipeline."""
        encoded = self._encoded
        return encoded is not None and encoded.prompts > 1 and any(c.paired for c in self._bound)

    @property
    def shape(self) -> tuple[int, int]:
        """(prompts, pictures of each)."""
        encoded = self._require_encoded()
        return encoded.prompts, encoded.images

    def stepping(self, latents: Tensor) -> Tensor:
        """The scheduler is about to step from these latents; those it shall step from."""
        if self.paired and self.clock.first:
            check_start(latents, self.shape[1])
        delta, self._delta = self._delta, None
        return latents if delta is None else latents + delta.to(latents)

    def stepped(self, latents: Tensor, t: Tensor | float, *, complete: bool) -> Tensor:
        """The scheduler made a step; the latents to go on with."""
        complete = complete or self.clock.last
        step = self.clock.step(t)
        self.clock.advance(complete=complete)
        for control in self._bound:
            if complete and isinstance(control, LatentEdit):
                unpacked = self._family.unpack(latents, self.latents)
                edited = control.edit_latents(unpacked, self._recorder.maps(control), step)
                latents = latents if edited is unpacked else self._family.pack(edited)
            if complete and isinstance(control, Observer):
                control.observe(self._recorder.maps(control), step)
        return latents

    def _require_encoded(self) -> Encoded:
        if self._encoded is None:
            raise ValueError("run: the pipeline has not been called yet")
        return self._encoded
