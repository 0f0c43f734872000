"""Kernels that keep the rules and kernels that break them, compiled in a process of its own.

Prints one JSON object: name -> the broken rules. Not a test: tests/kernels/test_ahead.py runs it.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace

import triton
import triton.language as tl

from attention_studio.kernels.ahead import Specialization
from attention_studio.kernels.ahead.check import check


@triton.jit
def attend(q, k, v, out, keys, qk_scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Attention of one block of queries, as short as it goes."""
    rows, columns, channels = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, D)
    queries = tl.load(q + rows[:, None] * D + channels[None, :])
    top = tl.full([BM], -1e30, tl.float32)
    total = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, D], tl.float32)
    for start in range(0, keys, BN):
        here = (start + columns)[:, None] * D + channels[None, :]
        scores = tl.dot(queries, tl.trans(tl.load(k + here))) * qk_scale
        higher = tl.maximum(top, tl.max(scores, 1))
        probs = tl.exp2(scores - higher[:, None])
        keep = tl.exp2(top - higher)
        total = total * keep + tl.sum(probs, 1)
        values = tl.load(v + here)
        acc = tl.dot(probs.to(values.dtype), values, acc * keep[:, None])
        top = higher
    done = (acc / total[:, None]).to(out.dtype.element_ty)
    tl.store(out + rows[:, None] * D + channels[None, :], done)


@triton.jit
def double(x, BLOCK: tl.constexpr):
    """No matrix anywhere."""
    here = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + here, tl.load(x + here) * 2)


@triton.jit
def wrong(x, BLOCK: tl.constexpr):
    """Does not compile: 3 is no power of two."""
    tl.store(x + tl.arange(0, BLOCK), 0.0)


GOOD = Specialization(
    name="good",
    kernel=attend,
    signature={
        **dict.fromkeys(("q", "k", "v", "out"), "*bf16"),
        **{"keys": "i32", "qk_scale": "fp32"},
        **dict.fromkeys(("D", "BM", "BN"), "constexpr"),
    },
    constexprs={"D": 64, "BM": 64, "BN": 64},
    divisible=("q", "k", "v", "out", "keys"),
)
HOPPER = replace(GOOD, arches=(90,))
PLAIN = Specialization(
    name="plain",
    kernel=double,
    signature={"x": "*fp32", "BLOCK": "constexpr"},
    constexprs={"BLOCK": 1024},
    divisible=("x",),
    arches=(90,),
    attention=False,
)
CASES = (
    GOOD,
    PLAIN,
    replace(HOPPER, name="spills", constexprs={"D": 128, "BM": 128, "BN": 128}),
    replace(HOPPER, name="unaligned", divisible=()),
    replace(HOPPER, name="large", num_stages=8, constexprs={"D": 128, "BM": 64, "BN": 64}),
    replace(PLAIN, name="no matrix", attention=True),
    replace(PLAIN, name="wrong", kernel=wrong, constexprs={"BLOCK": 3}),
)

if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        found = {spec.name: check([spec]) for spec in CASES}
    print(json.dumps(found))
