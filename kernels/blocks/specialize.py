"""The kernels as they are launched, for the check that needs no GPU."""

from __future__ import annotations

from collections.abc import Mapping

from ..ahead import Specialization
from . import triton as forward
from .backward import triton as backward
from .launch import by_rows, constants
from .settings import setting

__all__ = ["PASSES", "attention", "around"]

PASSES = {
    "forward": forward.forward_kernel,
    "query": backward.query_kernel,
    "key": backward.key_kernel,
}
TYPED = ("q", "k", "v", "out", "dout", "dq", "dk", "dv")
SINGLE = (
    *("lse", "dlse", "lse2", "delta", "bias", "dbias"),
    *("part_out", "part_lse", "part_dq", "part_dk", "part_dv", "part_dbias"),
)
WHOLE = ("see", "own", "own_tiles", "other_tiles", "entries", "jobs")
REAL = ("scale", "limit", "slope")


def attention(
    prefix: str,
    kind: str,
    head_dim: int,
    dtype: str,
    arch: int,
    *,
    near: bool = False,
    ranges: bool = False,
    second: bool = False,
    disc: bool = False,
    bits: bool = False,
    bias: bool = False,
) -> list[Specialization]:
    """The launches of one pass; what the flags mean stands in `launch.constants`."""
    chosen = setting(kind, head_dim, 4 if dtype == "fp32" else 2, near, arch)
    tiles = "/".join(f"{height}x{width}" for height, width in (chosen.own, chosen.other))
    marks = (("pooled", second), ("bias", bias))
    words = [prefix, kind, dtype, f"d{head_dim}", tiles, *(word for word, on in marks if on)]
    given = constants(head_dim, chosen, (ranges, second), (disc, bits), bias)
    made = []
    for which in chosen.launches(kind):
        sums = [name.lower() for name, on in which.items() if on and chosen.apart]
        made.append(
            _specialization(
                " ".join([*words, *sums, f"on {arch}"]),
                PASSES[kind],
                {**given, **which, "bias_n": 1},
                dtype,
                (arch,),
                chosen.warps,
                chosen.stages[1],
                attention=True,
            )
        )
    return made


def around(head_dim: int, dtype: str) -> list[Specialization]:
    """What runs before the backward pass and after the forward pass."""
    options = by_rows(head_dim)
    rest = dtype, (80, 90), options.pop("num_warps"), options.pop("num_stages")
    before = {**options, "DLSE": True, "dlse_n": 1}
    return [
        _specialization(f"blocks rows d{head_dim}", backward.rows_kernel, before, *rest),
        _specialization(f"blocks merge d{head_dim}", forward.merge_kernel, options, *rest),
    ]


def _specialization(
    name: str,
    kernel: object,
    consts: Mapping[str, object],
    dtype: str,
    arches: tuple[int, ...],
    warps: int,
    stages: int,
    attention: bool = False,
) -> Specialization:
    names: list[str] = kernel.arg_names  # type: ignore[attr-defined]
    strides = {f"{x}_{axis}" for x in TYPED for axis in "bhn"}
    kinds = dict.fromkeys(names, "i32")
    kinds |= {x: f"*{dtype}" for x in TYPED if x in kinds}
    kinds |= {x: "*fp32" for x in SINGLE if x in kinds}
    kinds |= {x: "*i32" for x in WHOLE if x in kinds}
    kinds |= {x: "fp32" for x in REAL if x in kinds}
    kinds |= dict.fromkeys(consts, "constexpr")
    return Specialization(
        name=name,
        kernel=kernel,
        signature=kinds,
        constexprs=consts,
        divisible=tuple(x for x in names if kinds[x][0] == "*" or x in strides),
        num_warps=warps,
        num_stages=stages,
        attention=attention,
        arches=arches,
    )
