"""The student: the model with windows, trained where CLEAR trains it, and its three losses.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112), as in the released script. With a clean x_0, noise
ε, x_σ = (1 − σ) x_0 + σ ε, v* = ε − x_0, v_s and v_t the velocities of student and teacher, A_l the
joint attention of a block before its projection:

    L = |v_s − v*|² + α |v_s − v_t|² + β · mean over l of |A_l^s − A_l^t|²        means of squares

Trained: image stream's queries, keys, values and outputs of all blocks, and the cells' weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..pipelines.clear_weights import trained_parts
from ..processors.call import Grid, Kind, Stage, Step
from ..processors.controls.local_window import LocalWindow
from ..processors.families import family_of
from ..processors.standing import standing
from .low_rank import add_low_rank
from .settings import Distillation

__all__ = ["Noised", "Student", "chosen_blocks", "predicted", "seen"]

_EARLY, _LATE = Step(0, 0, 2, 0.0), Step(1, 1, 2, 0.0)  # the halves of a run


@dataclass(frozen=True, eq=False)
class Noised:
    """What a transformer is given: x_σ [B, N, C], σ [B] and its other inputs; and v* [B, N, C].

    late: whether σ are those of the second half of the steps, which may have a window of its own.
    """

    sample: Tensor
    sigma: Tensor
    context: Tensor
    added: Mapping[str, Tensor]
    velocity: Tensor
    late: bool = False


class Student(nn.Module):
    """A FLUX transformer with windows everywhere.

    Call it and go backward within `windows`.

    attentions: its attention modules by name.    linears: the layers that are trained.
    step: of a run, for which it has its window now.
    """

    def __init__(self, pipe: Any, transformer: nn.Module, settings: Distillation) -> None:
        super().__init__()
        self.transformer = transformer
        self._pipe, self.settings = (pipe,), settings  # the pipeline holds modules: not its own
        sites = family_of(pipe).sites(transformer)
        self.attentions = {site.name: module for module, site in sites if site.kind is Kind.JOINT}
        self.blocks = chosen_blocks(pipe, transformer, settings.every)
        self.linears = [layer for m in self.attentions.values() for layer in _linears(m)]
        transformer.requires_grad_(False)
        if settings.rank is not None:
            add_low_rank(self.linears, settings.rank)
        else:
            for module in self.attentions.values():
                for parameter in trained_parts(module).values():
                    parameter.requires_grad_(True)
        side = settings.pooled
        self.cells = nn.ParameterList(
            [] if side is None else [torch.full((side, side), side**-2.0) for _ in self.attentions]
        )
        self.step = _EARLY
        self._weights = [1.0, settings.teacher, settings.attention]
        if settings.checkpointing:
            self.transformer.enable_gradient_checkpointing()  # type: ignore[operator]

    @property
    def window(self) -> LocalWindow:
        """As it is now."""
        weights = dict(zip(self.attentions, self.cells, strict=True)) if self.cells else {}
        return replace(self.settings.window, weights=weights)

    @contextmanager
    def windows(self, latents: Grid) -> Iterator[None]:
        """Within it the transformer has them, for latents of this size; also what backward computes
        once more. They follow what is trained: one block serves all steps."""
        (pipe,) = self._pipe
        now = [self.window]
        with standing(pipe, self.transformer, now, latents=latents, when=lambda: self.step):
            yield

    def forward(
        self, given: Noised, velocity: Tensor, attentions: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """L and its three parts [3], held against the teacher's velocity and attentions."""
        (pipe,) = self._pipe
        self.step = _LATE if given.late else _EARLY
        with seen(self.transformer, self.blocks) as own:
            out = predicted(pipe, self.transformer, given)
        parts = [
            F.mse_loss(out.float(), given.velocity.float()),
            F.mse_loss(out.float(), velocity.float()),
            torch.stack([F.mse_loss(own[n].float(), attentions[n].float()) for n in own]).mean(),
        ]
        weighed = [w * part for w, part in zip(self._weights, parts, strict=True) if w]
        return torch.stack(weighed).sum(), torch.stack(parts).detach()


def predicted(pipe: Any, transformer: nn.Module, given: Noised) -> Tensor:
    """The velocity [B, N, C]."""
    family = family_of(pipe)
    t = given.sigma * 1000
    return family.forward(transformer, given.sample, t, given.context, given.added)


def chosen_blocks(pipe: Any, transformer: nn.Module, every: int) -> tuple[str, ...]:
    """Attention modules of one-stream blocks whose number `every` divides, double blocks first.

    ValueError where there is none.
    """
    sites = [site for _, site in family_of(pipe).sites(transformer)]
    found = tuple(s.name for s in sites if s.stage is Stage.SINGLE and s.index % every == 0)
    if not found:
        raise ValueError(
            f"every: came {every}, which divides the number of no block with one stream among "
            f"{len(sites)}; expected less, and a FLUX model"
        )
    return found


@contextmanager
def seen(transformer: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within it the outputs of these modules in the last call, by name."""
    found: dict[str, Tensor] = {}
    hooks = [
        transformer.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, out, name=name: found.__setitem__(name, out)
        )
        for name in names
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _linears(attention: nn.Module) -> list[nn.Linear]:
    trained = {name.rpartition(".")[0] for name in trained_parts(attention)}
    return [
        layer
        for name, layer in attention.named_modules()
        if name in trained and isinstance(layer, nn.Linear)
    ]
