"""How far edits follow their source, unless said; imports nothing, since commands read it.

ours: where text and picture are read together, the picture's layout alone is followed; there the
places of words follow from the image's queries and keys, which are all that Shin et al. 2025
(arXiv:2508.07519) replace. With the text held too, things of emoji-flux became their neighbours
when a word was added: a book beside a moon became a second moon. Of 28 edits of its tuning range 21
were as asked with the text left alone and a blend at 0.5, 17 with the text followed for 0.4 of the
steps and the authors' blend.
"""

from __future__ import annotations

__all__ = ["blend_threshold", "text_held"]


def text_held(*, joint: bool, weighed: bool) -> float:
    """The part of the denoising in which an edit looks at the text as its source does.

    joint:   whether text and picture are read together.
    weighed: whether words are weighed, which needs the text to be followed.
    """
    if not joint:
        return 0.8  # Hertz et al. 2022 (arXiv:2208.01626)
    return 0.4 if weighed else 0.0


def blend_threshold(*, joint: bool) -> float:
    """Of the local blend, as a part of the map's maximum."""
    return 0.5 if joint else 0.3  # the authors' code
