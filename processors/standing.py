"""Controls in a denoiser that is called by itself: in a training loop, without prompts or steps.

    with standing(pipe, denoiser, [LocalWindow(8)]):
        loss(denoiser(...)).backward()

Within it every call is one of a run of a single step, unless `when` says otherwise, and every row
a conditional one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from . import engine
from .call import Batch, Call, Grid, Role, Row, Segments, Site, Step
from .control import Context, Control
from .families import Family, family_of
from .plan import Plans
from .step import Condition, LatentEdit, Objective, Stretch
from .tensors import Tensors

__all__ = ["standing"]


@contextmanager
def standing(
    pipe: Any,
    denoiser: nn.Module,
    controls: Sequence[Control],
    *,
    latents: Grid | None = None,
    when: Callable[[], Step] | None = None,
) -> Iterator[None]:
    """Steers `denoiser`, of the same class as the pipeline's, and restores it at the end.

    Gradients flow through to what the controls hold, so their tensors can be trained. One block
    around many calls is faster than one around each: what they share is made once.

    latents: (height, width) of those of every call; None = asked of each call's inputs, for which
             FLUX waits until a GPU has done all that is queued.
    when:    asked in every attention for the step of a run that the call stands for; None = the
             only one.

    ValueError for a processor that cannot be steered, and for controls that change embeddings,
    latents or positions of a run. Those that look for words in prompts are not for here either.
    """
    family = family_of(pipe)
    for control in controls:
        stretches = isinstance(control, Stretch) and control.theta_factor != 1
        if stretches or isinstance(control, Condition | LatentEdit | Objective):
            raise ValueError(
                f"controls: {type(control).__name__} changes a run's embeddings, latents or "
                "positions; expected controls of the attention alone, for a denoiser by itself"
            )
    live = _Standing(family, tuple(controls), latents, when or _only)
    with ExitStack() as undo:
        sites = family.sites(denoiser)
        for module, site in sites:
            family.check(module, site)
        for module, site in sites:
            undo.callback(module.set_processor, module.processor)
            module.set_processor(family.processor(module, site, live))
        signature = inspect.signature(type(denoiser).forward)

        def entering(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            bound = signature.bind(module, *args, **kwargs)
            bound.apply_defaults()
            live.enter(bound.arguments)

        hook = denoiser.register_forward_pre_hook(entering, with_kwargs=True)
        undo.callback(hook.remove)
        yield


def _only() -> Step:
    return Step(0, 0, 1, 0.0)


class _Standing:
    """As `families.Live`, of the present call alone."""

    def __init__(
        self,
        family: Family,
        controls: tuple[Control, ...],
        latents: Grid | None,
        when: Callable[[], Step],
    ) -> None:
        self.latents: Grid = latents or (0, 0)
        self.texts = 0
        self._asks = latents is None
        self._family = family
        self._controls = controls
        self._when = when
        self._batch = Batch(())
        self._plans = Plans()

    def enter(self, asked: dict[str, Any]) -> None:
        """A call with these arguments begins."""
        context = asked[self._family.arguments["context"]]
        if self._asks:
            self.latents = self._family.size(asked)
        rows, self.texts = context.shape[:2]
        if rows != len(self._batch.rows):
            self._batch = Batch(tuple(Row(i, 0, Role.COND) for i in range(rows)))

    def states(
        self, site: Site, hidden: Tensor, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        return hidden, text

    def acts(self, site: Site) -> bool:
        step = self._when()
        return any(control.acts(site, step) for control in self._controls)

    def context(self, site: Site, text: Tensor) -> Context:
        return Context(text, text)

    def attend(
        self,
        site: Site,
        tensors: Tensors,
        *,
        queries: Segments,
        keys: Segments,
        bias: Tensor | None,
    ) -> Tensor:
        step = self._when()
        call = Call(tensors, site, step, self._batch, queries, keys, bias=bias)
        acting = [c for c in self._controls if c.acts(site, step)]
        return engine.run(call, acting, plans=self._plans)
