"""Disc attention on a GPU: tiles of 8 × 16 queries over the tiles within reach, and the text.

Rule of Liu, Tan and Wang 2024, CLEAR (arXiv:2412.16112); see api.py. ours: patches of the grid as
tiles in raster order instead of blocks of consecutive tokens, lists of tiles instead of a mask
evaluated per element; 2.3 to 3.3 times fewer pairs at 256² and 512² tokens.
"""

from __future__ import annotations

from torch import Tensor

from ..ahead import Specialization
from ..blocks import launch, specialize
from ..blocks.backward import launch as gradients
from ..blocks.plan import Plan, disc_plan
from ..blocks.settings import NEAR, Setting, setting
from .layout import DiscLayout

__all__ = ["backward", "forward", "specializations"]


def forward(
    q: Tensor, k: Tensor, v: Tensor, layout: DiscLayout, scale: float, key_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """out and lse; see api.py."""
    plan, chosen = _plan("forward", q, layout)
    return launch.forward(q, k, v, plan, chosen, scale, key_bias, launch.Rule(layout.limit))


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    layout: DiscLayout,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their types, dbias [B, H, S] fp32 or None."""
    rule = launch.Rule(layout.limit)
    given = gradients.inputs(dout, dlse, q, k, v, out, lse, scale, key_bias)
    dq = gradients.query_gradient(given, *_plan("query", q, layout), rule)
    return dq, *gradients.key_gradients(given, *_plan("key", q, layout), rule)


def _plan(kind: str, q: Tensor, layout: DiscLayout) -> tuple[Plan, Setting]:
    near = layout.radius < NEAR
    chosen = setting(kind, q.shape[3], q.element_size(), near, launch.arch(q.device))
    return disc_plan(layout, chosen.own, chosen.other, kind == "key", q.device), chosen


def specializations() -> list[Specialization]:
    """FLUX (D 128), SD 3 (64), any other (256), in bf16; pooled keys and a bias; fp32."""
    found: list[Specialization] = []
    for arch in (90, 80):
        for kind in specialize.PASSES:
            cases = {(D, "bf16", near, False) for D in (64, 128, 256) for near in (False, True)}
            cases |= {(128, "bf16", True, True), (64, "fp32", False, False)}
            cases |= {(128, "fp32", False, False)}
            made = [
                spec
                for D, dtype, near, more in sorted(cases)
                for spec in specialize.attention(
                    *("disc", kind, D, dtype, arch),
                    near=near, ranges=True, second=more, disc=True, bias=more,
                )
            ]  # fmt: skip
            found += {spec.name: spec for spec in made}.values()  # near and far may be the same
    return found + specialize.around(128, "bf16") + specialize.around(256, "bf16")
