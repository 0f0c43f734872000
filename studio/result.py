"""What a run gives back: pictures in the order of the prompts, and all that is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from .emoji import Scene, Score
    from .processors.receipt import Receipt
    from .recipe import Recipe

    HeatMaps: TypeAlias = Mapping[str, tuple[NDArray[np.float32] | None, ...]]

__all__ = ["Result", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What the judge of emoji world saw in a picture, and how it compares with the prompt."""

    scene: Scene
    score: Score


@dataclass(frozen=True, eq=False)
class Result:
    """One run.

    recipe:   the one that ran, its size filled in.
    images:   one a prompt, in their order; in an edit the source first.
    plain:    when it was asked for, the same prompts on the same noise without controls: of an
              edit one for each edited prompt, else one for each prompt; otherwise empty.
    maps:     for each recorded word one array [h, w] a picture, None where its prompt lacks the
              word: the part of the attention that falls on the word, in [0, 1].
    receipts: in an edit one for each edited prompt, against the source; else one for each picture
              against its plain one, when that was drawn.
    verdicts: one a picture; None when the model does not draw emoji world.
    warnings: sentences, each once.
    timings:  seconds by name: load, generate, judge, and plain when that was drawn.
    made:     what drew it beside the recipe: scheduler, device, dtype.
    peak_bytes: the most memory held while `images` were drawn, weights included; see `Peak`.
              None where it cannot be known, and for pictures drawn together with others.
    """

    recipe: Recipe
    images: tuple[Image, ...]
    plain: tuple[Image, ...] = ()
    maps: HeatMaps = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()
    verdicts: tuple[Verdict, ...] | None = None
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    peak_bytes: int | None = None
