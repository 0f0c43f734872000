"""Rotary positions with another base for the time of a run: NTK-aware scaling.

bloc97 2023 ("NTK-aware scaled RoPE"), as CLEAR (Liu et al. 2024, arXiv:2412.16112) uses it beyond
the trained size:  theta ← factor · theta.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from diffusers.models.transformers.transformer_flux import FluxPosEmbed

__all__ = ["stretch"]


def stretch(denoiser: Any, factor: float) -> Callable[[], None]:
    """Multiplies the base; what it returns puts the old one back.

    ValueError for a denoiser whose positions are no function of a base at each call.
    """
    embed = getattr(denoiser, "pos_embed", None)
    if not isinstance(embed, FluxPosEmbed):
        raise ValueError(
            f"ntk: came {factor:g}, but {type(denoiser).__name__} has no base of positions to "
            "multiply; expected 1, or a FLUX transformer"
        )
    if not factor > 0:
        raise ValueError(f"ntk: came {factor:g}; expected more than 0")
    theta = embed.theta
    embed.theta = theta * factor
    return partial(setattr, embed, "theta", theta)
