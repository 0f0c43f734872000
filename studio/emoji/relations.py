"""Spatial relations between two boxes: one definition for the sampler and for the score."""

from __future__ import annotations

from .plan import Box

__all__ = ["holds"]


def holds(relation: str, a: Box, b: Box) -> bool:
    """Whether box `a` stands in `relation` to box `b` (y downwards); "and", "with" always hold.

    above/below, left/right: the centres differ by at least a quarter of the mean side in that
    direction, and more than in the other one. next to: the distance between centres is at most
    1.6 times the mean side. A box's side is the longer one, which a glyph fills in its square.
    """
    dx = (b[0] + b[2] - a[0] - a[2]) / 2
    dy = (b[1] + b[3] - a[1] - a[3]) / 2
    width = (_side(a) + _side(b)) / 2
    if relation == "next to":
        return bool(dx * dx + dy * dy <= (1.6 * width) ** 2)
    along, across = {
        "left of": (dx, dy),
        "right of": (-dx, dy),
        "above": (dy, dx),
        "below": (-dy, dx),
    }.get(relation, (1.0, 0.0))
    return relation in ("and", "with") or (along >= 0.25 * width and along > abs(across))


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])
