"""What a person may say about a grounding beside picture and expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..pipelines.grounding import Grounding
    from ..processors.grounding import GroundRules

__all__ = ["MAGNETS", "MOST_CHARACTERS", "MOST_SEED", "GroundSettings"]

MAGNETS = ("with", "to", "pink")  # as the paper's project page shows them
MOST_CHARACTERS = 500
MOST_SEED = 2**62 - 1  # that of recipes


@dataclass(frozen=True)
class GroundSettings:
    """How to look.

    size:    (height, width) in pixels at which the model looks; None = as it was trained.
    noise:   part of the way to noise; None = 0.2.
    magnets: words appended to the expression.
    sinks:   whether global sinks are suppressed.
    plain:   nothing of RefAM at all: the sum of the words' maps.
    cut:     part of the map's range above which a place belongs to the mask; None = what suits the
             model.
    """

    size: tuple[int, int] | None = None
    noise: float | None = None
    seed: int = 0
    magnets: tuple[str, ...] = MAGNETS
    sinks: bool = True
    plain: bool = False
    cut: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEED:
            raise ValueError(f"seed: came {self.seed}; expected 0 to {MOST_SEED}")

    @property
    def rules(self) -> GroundRules:
        """Which parts of the method act."""
        from ..processors.grounding import GroundRules

        if self.plain:
            return GroundRules.plain()
        return GroundRules(magnets=self.magnets, sinks=self.sinks)

    def check(self, expression: str) -> None:
        """ValueError, in one sentence, for words that no model could look for."""
        from ..processors.grounding import ground_prompt

        if len(expression) > MOST_CHARACTERS:
            raise ValueError(
                f"expression: it has {len(expression)} characters; expected at most "
                f"{MOST_CHARACTERS}"
            )
        ground_prompt(expression, self.rules)

    def ground(self, pipe: Any, picture: Image, expression: str) -> Grounding:
        """ValueError, in one sentence, for what means nothing; see `pipelines.grounding.ground`."""
        from ..pipelines.grounding import ground

        self.check(expression)
        return ground(
            pipe,
            picture,
            expression,
            rules=self.rules,
            size=self.size,
            noise=None if self.noise is None else (self.noise,),
            seed=self.seed,
            cut=self.cut,
        )
