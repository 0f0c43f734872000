"""A receipt in plain words."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .processors.receipt import Receipt

__all__ = ["receipt_text"]


def receipt_text(receipt: Receipt, *, subject: str = "the edit", maps: bool = True) -> str:
    """One or two short sentences about their subject; the second one is about the words' maps.

    Such as "The edit changed its objects by 41 of 255 on average and left the rest (38 dB). The map
    of 'car' moved by 0.12."
    """
    name = subject[:1].upper() + subject[1:]
    return " ".join([_change(receipt, name), *(_maps(receipt) if maps else ())])


def _change(receipt: Receipt, subject: str) -> str:
    inside, outside = receipt.changed_inside, receipt.changed_outside
    if inside is None and outside is None:
        return "What changed is not known: no picture to compare with."
    if receipt.effect == "none":
        return f"{subject} had no visible effect (mean change {inside or 0.0:.2f} of 255)."
    weak = ", a weak effect" if receipt.effect == "weak" else ""
    if outside is None:
        return f"{subject} changed the picture by {inside:.1f} of 255 on average{weak}."
    if inside is None:
        return f"{subject} changed the picture by {outside:.1f} of 255 on average{weak}."
    return (
        f"{subject} changed its objects by {inside:.1f} of 255 on average{weak} and "
        f"{_rest(outside, receipt.psnr_outside)}."
    )


def _rest(outside: float, psnr: float | None) -> str:
    if outside == 0 or psnr is None or isinf(psnr):
        return "left every other pixel as it was"
    # ours: from 30 dB on, two pictures side by side look the same to most eyes
    left = "left the rest" if psnr >= 30 else "changed the rest too"
    return f"{left} (by {outside:.1f} of 255, {psnr:.0f} dB)"


def _maps(receipt: Receipt) -> list[str]:
    if not receipt.map_shift:
        return []
    moved = sorted(receipt.map_shift.items(), key=lambda item: -item[1])[:3]
    parts = [f"{word!r} by {shift:.2f}" for word, shift in moved]
    return [f"Maps moved: {', '.join(parts)} (0 = same place, 1 = elsewhere)."]
