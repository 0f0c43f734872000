"""What installed processors ask of a run: who acts now, on which rows, and the attention itself."""

from __future__ import annotations

from torch import Tensor

from . import engine
from .call import Batch, Call, Grid, Segments, Site, Step
from .control import Context, Control
from .memory import Remembered
from .plan import Plans
from .recorder import Recorder
from .tensors import Tensors

__all__ = ["Acting"]


class Acting:
    """`families.Live` in the present call of the denoiser; a `Run` says which one that is."""

    def __init__(self, memory: Remembered, recorder: Recorder) -> None:
        self.latents: Grid = (0, 0)
        self.texts = 0
        self._memory = memory
        self._bound: tuple[Control, ...] = ()
        self._outside: tuple[Control, ...] = ()  # those that act when nothing is probed
        self._probing: tuple[Control, ...] | None = None  # those that act beside the step's call
        self._batch: Batch | None = None
        self._step: Step | None = None
        self._recorder = recorder
        self._plans = Plans()

    @property
    def probing(self) -> bool:
        """Whether the denoiser is called beside the step, within its own pre-hook."""
        return self._probing is not None

    def states(
        self, site: Site, hidden: Tensor, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What came to the site, with that of recalled rows before it."""
        keeps = self._memory.keeps
        if keeps is not None and self._batch is not None and not self.probing:
            keeps.keep(site, *self._now(), hidden, text)
        if not self._recalls(site):
            return hidden, text
        return self._memory.states(site, *self._now(), hidden, text)

    def acts(self, site: Site) -> bool:
        """Whether a control acts at the site now."""
        return bool(self._acting(site))

    def context(self, site: Site, text: Tensor) -> Context:
        """What keys and values are to be projected from."""
        context = Context(text, text)
        step, batch = self._now()
        for control in self._acting(site):
            context = control.context(site, step, batch, context)
        return context

    def attend(
        self,
        site: Site,
        tensors: Tensors,
        *,
        queries: Segments,
        keys: Segments,
        bias: Tensor | None,
    ) -> Tensor:
        """The controlled attention."""
        step, batch = self._now()
        if self._recalls(site):
            batch = self._memory.beside(batch)
        call = Call(tensors, site, step, batch, queries, keys, bias=bias)
        out = engine.run(call, self._acting(site), self._recorder, self._plans)
        return out[batch.idle :] if batch.idle else out

    def _recalls(self, site: Site) -> bool:
        """Whether recalled rows stand before the call's own: where a control may look at them."""
        return self._memory.at(site) and not self.probing and self.acts(site)

    def _acting(self, site: Site) -> tuple[Control, ...]:
        if self._batch is None or self._step is None or not self._batch.every:
            return ()
        step = self._step
        bound = self._outside if self._probing is None else self._probing
        return tuple(control for control in bound if control.acts(site, step))

    def _now(self) -> tuple[Step, Batch]:
        assert self._step is not None and self._batch is not None
        return self._step, self._batch
