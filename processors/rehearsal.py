"""Who wants to see what the denoiser does by itself in a step, before its controlled call.

ours: ConsiStory's released code runs the UNet twice for its vanilla queries; here the first run is
of the rows alone that somebody asks for, and only the sites he looks at leave the stock processor.
"""

from __future__ import annotations

from collections.abc import Sequence

from .call import Batch, Step
from .control import Control
from .step import Rehearsing

__all__ = ["unrehearsed", "wishes"]


def wishes(
    controls: Sequence[Control], step: Step, batch: Batch
) -> tuple[tuple[int, ...], tuple[Control, ...]]:
    """Rows to rehearse, ascending, and who looks on; both empty when nobody asks."""
    asking = [c for c in controls if isinstance(c, Rehearsing) and c.rehearses(step, batch)]
    rows = {row for control in asking for row in control.rehearses(step, batch)}
    return tuple(sorted(rows)), tuple(control.watcher for control in asking)


def unrehearsed(controls: Sequence[Control]) -> tuple[Control, ...]:
    """Those that act where nothing was rehearsed yet: in what an objective looks at."""
    return tuple(control for control in controls if not isinstance(control, Rehearsing))
