"""How far edits follow their source, unless said; imports nothing, since commands read it.

ours: where text and picture are read together the text is followed for less long, and where words
are added not at all: with the text held, things of emoji-flux became their neighbours there, a book
beside a moon a second moon. The places of words follow from the image's queries and keys, which are
all that Shin et al. 2025 (arXiv:2508.07519) replace. Edits of the tuning range that were as asked,
with the layout kept for 0.4 of the steps:

    text    blend   words added     exchanged
    0.4     0.3      5 of 12        41 of 48
    0.4     0.5                     11 of 16
    0       0.5      9 of 12        35 of 48
"""

from __future__ import annotations

__all__ = ["blend_threshold", "text_held"]


def text_held(*, joint: bool, adds: bool, weighed: bool) -> float:
    """The part of the denoising in which an edit looks at the text as its source does.

    joint:   whether text and picture are read together.
    adds:    whether words are added or taken away, not exchanged one for one.
    weighed: whether words are weighed, which needs the text to be followed.
    """
    if not joint:
        return 0.8  # Hertz et al. 2022 (arXiv:2208.01626)
    return 0.0 if adds and not weighed else 0.4


def blend_threshold(*, joint: bool, adds: bool) -> float:
    """Of the local blend, as a part of the map's maximum."""
    return 0.5 if joint and adds else 0.3  # 0.3: the authors' code
