"""What a distillation is made of; defaults are those of CLEAR's script where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..pipelines.calls import guidance_arguments
from ..processors.controls.local_window import LocalWindow

__all__ = ["Distillation"]

_COUNTS = (
    *("every", "steps", "batch", "accumulate"),
    *("drawn_in", "drawn_batch", "warmup_steps", "save_every", "show_every"),
)


@dataclass(frozen=True)
class Distillation:
    """CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112), section 3.3 and the released script.

    radius, late, pooled: of the window, in tokens; see `processors.LocalWindow`.
    teacher:   α, weight of the distance between the two velocities; 0 = it is only logged.
    attention: β, weight of the distance between the attentions of chosen blocks, likewise.
    every:     blocks with one stream whose number, counted over all blocks, it divides are chosen.
    steps:     of the optimizer; `batch` pictures each, on each process, `accumulate` times.
    decay:     ours: the last part of the steps, in which the learning rate falls to zero.
    size:      (height, width) of the teacher's pictures in pixels; None = the pipeline's default,
               that of FLUX.1 whatever a model was trained at.
    drawn_in:  denoising steps of the teacher's pictures, at `guidance` (distilled models read it,
               others are guided by the empty prompt), `drawn_batch` of them at once.
    told:      guidance that a distilled model reads while it is trained.
    unprompted: ours: part of the pictures told the empty prompt, which a model guided by it needs.
    rank:      ours: of a low-rank change of the projections; None = they are trained whole.
    max_sequence_length: text tokens, as in the pipeline's call; None = its default.
    Differs: AdamW with a rate that is given instead of Prodigy, which finds its own.
    """

    radius: float = 8.0
    pooled: int | None = None
    teacher: float = 0.5
    attention: float = 0.5
    every: int = 4
    steps: int = 1000
    batch: int = 2
    accumulate: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 20
    decay: float = 0.0
    size: tuple[int, int] | None = None
    drawn_in: int = 28
    drawn_batch: int = 8
    guidance: float = 3.5
    told: float = 3.5
    unprompted: float = 0.0
    rank: int | None = None
    checkpointing: bool = False
    max_sequence_length: int | None = None
    save_every: int = 100
    show_every: int = 200
    seed: int = 0
    late: float | None = None

    @property
    def window(self) -> LocalWindow:
        """With cells of equal weights."""
        return LocalWindow(self.radius, self.pooled, late=self.late)

    def call(self, pipe: Any, count: int) -> dict[str, Any]:
        """How the pipeline is called for so many of the teacher's pictures, but for prompts, size
        and noise."""
        return {
            "num_inference_steps": self.drawn_in,
            **guidance_arguments(pipe, self.guidance, count=count),
            **self.length,
        }

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first of which is 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = (1 - step / self.steps) / self.decay if self.decay else 1.0
        return self.learning_rate * warm * min(1.0, left)

    @property
    def length(self) -> dict[str, Any]:
        """`max_sequence_length` as an argument, if there is one."""
        length = self.max_sequence_length
        return {} if length is None else {"max_sequence_length": length}

    def __post_init__(self) -> None:
        _ = self.window  # which checks its own
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: came {getattr(self, name)}; expected 1 or more")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank: came {self.rank}; expected 1 or more, or None")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay: came {self.decay}; expected a part in [0, 1]")
        if not 0 <= self.unprompted < 1:
            raise ValueError(f"unprompted: came {self.unprompted}; expected a part in [0, 1)")
