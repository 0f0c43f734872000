"""Labelled attention on a GPU: tiles that share no bit are skipped, those that all share are free.

ours: lists of tiles are made on the device from the OR and the AND of each tile's bits, with room
for every tile, so that the host never waits; see blocks/lists.py.
"""

from __future__ import annotations

from torch import Tensor

from ..ahead import Specialization
from ..blocks import launch, specialize
from ..blocks.backward import launch as gradients
from ..blocks.plan import Plan, bits_plan
from ..blocks.settings import Setting, setting
from ..disc.layout import DiscLayout

__all__ = ["backward", "forward", "specializations"]


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    see: Tensor,
    own: Tensor,
    disc: DiscLayout | None,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """out and lse; see api.py."""
    rule = _rule(see, own, disc)
    plan, chosen = _plan("forward", q, (see, own), disc)
    return launch.forward(q, k, v, plan, chosen, scale, key_bias, rule)


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    see: Tensor,
    own: Tensor,
    disc: DiscLayout | None,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their types, dbias [B, H, S] fp32 or None."""
    rule = _rule(see, own, disc)
    given = gradients.inputs(dout, dlse, q, k, v, out, lse, scale, key_bias)
    dq = gradients.query_gradient(given, *_plan("query", q, (see, own), disc), rule)
    return dq, *gradients.key_gradients(given, *_plan("key", q, (own, see), disc), rule)


def _rule(see: Tensor, own: Tensor, disc: DiscLayout | None) -> launch.Rule:
    see, own = (x if x.stride(1) == 1 else x.contiguous() for x in (see, own))
    return launch.Rule(None if disc is None else disc.limit, see, own)


def _plan(
    kind: str, q: Tensor, bits: tuple[Tensor, Tensor], disc: DiscLayout | None
) -> tuple[Plan, Setting]:
    """bits: of the tiles that own programs, of the tiles they meet."""
    chosen = setting(kind, q.shape[3], q.element_size(), True, launch.arch(q.device))
    return bits_plan(*bits, chosen.own, chosen.other, disc, kind == "key"), chosen


def specializations() -> list[Specialization]:
    """D 64 and 128 in bf16, and 128 with discs and a bias."""
    cases = ((64, False), (128, False), (128, True))
    return [
        spec
        for arch in (90, 80)
        for kind in specialize.PASSES
        for D, more in cases
        for spec in specialize.attention(
            *("discs and labels" if more else "labelled", kind, D, "bf16", arch),
            near=True, bits=True, disc=more, bias=more,
        )
    ]  # fmt: skip
