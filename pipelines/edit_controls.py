"""The controls that Prompt-to-Prompt combines for each of its three kinds of edits.

Hertz et al. 2022 (arXiv:2208.01626) and the authors' code: swap is AttentionReplace, refine is
AttentionRefine, reweight is AttentionReweight over AttentionRefine; each keeps the layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ..processors.control import Control
from ..processors.controls import KeepLayout, LocalBlend, RefineWords, ReplaceWords, ReweightWords
from ..processors.interval import Interval
from ..processors.prompts.units import blank_words

__all__ = ["During", "Mode", "edit_controls"]

Mode = Literal["swap", "refine", "reweight"]
During = float | tuple[float, float] | Interval
"""A part of the denoising: its end, (start, end), or the interval itself."""


def edit_controls(
    mode: str,
    texts: Sequence[str],
    weights: Mapping[str, float],
    blend: Sequence[str | Sequence[str]] | None,
    cross_replace: During | Mapping[str, During],
    self_replace: During,
    threshold: float = 0.3,
) -> list[Control]:
    """The controls that the authors' code combines; `threshold` is the blend's."""
    if mode not in ("swap", "refine", "reweight"):
        raise ValueError(f"mode: came {mode!r}; expected 'swap', 'refine' or 'reweight'")
    if mode == "reweight" and not weights:
        raise ValueError("weights: came none; mode='reweight' expects them, such as {'red': 1.5}")
    counts = [len(blank_words(text)) for text in texts]
    if mode == "swap" and len(set(counts)) > 1:
        raise ValueError(
            f"prompt: mode='swap' needs as many words in each, came {counts}; mode='refine' takes "
            "words that are added or taken away"
        )
    single = dict(cross_replace) if isinstance(cross_replace, Mapping) else {}
    rest = single.pop("default_", 1.0) if isinstance(cross_replace, Mapping) else cross_replace
    during = _during(rest, "cross_replace")
    words = {word: _during(own, "cross_replace") for word, own in single.items()}
    read = ReplaceWords if mode == "swap" else RefineWords
    method: list[Control] = [read(during, words), KeepLayout(_during(self_replace, "self_replace"))]
    for word, weight in weights.items():  # the authors' gate is that of the word
        method.append(ReweightWords({word: weight}, words.get(word, during)))
    if blend is not None:
        if isinstance(blend, str) or len(blend) != len(texts):
            raise ValueError(
                f"blend: came {blend!r}; expected an entry for each of the {len(texts)} prompts, "
                "such as ('cat', 'dog')"
            )
        words_of = tuple(w if isinstance(w, str) else tuple(w) for w in blend)
        method.append(LocalBlend(words_of, threshold=threshold))
    return method


def _during(value: During, argument: str) -> Interval:
    if isinstance(value, Interval):
        return value
    try:
        return Interval(*value) if isinstance(value, Sequence) else Interval(0.0, value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{argument}: came {value!r}; expected an end in [0, 1] or (start, end), start <= end"
        ) from None
