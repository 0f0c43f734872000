"""Every Triton kernel compiled for a GPU and run on one, against the formulas in fp64.

Skipped without a CUDA device and in Triton's interpreter: `TRITON_INTERPRET=0 pytest -m cuda`.
Each check runs twice, since a race shows as other bits, in memory that is full of NaN; an error is
the norm of the difference over the norm of what is wanted, and a property of the test's report.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.kernels.disc import DiscLayout, disc_attention
from attention_studio.kernels.disc import reference as disc_reference
from attention_studio.kernels.disc import triton as disc
from attention_studio.kernels.inputs.triton import interprets
from attention_studio.kernels.labelled import labelled_attention
from attention_studio.kernels.labelled import reference as labelled_reference
from attention_studio.kernels.labelled import triton as labelled
from attention_studio.kernels.maps import attention_lse, fuses_lse, word_maps
from attention_studio.kernels.maps import reference as maps_reference
from attention_studio.kernels.maps import triton as maps
from attention_studio.kernels.merge import reference as merge_reference
from attention_studio.kernels.merge import triton as merge

from .brute import finite

GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not GPU, reason="needs a CUDA device"),
    pytest.mark.skipif(GPU and interprets(), reason="needs TRITON_INTERPRET=0"),
]

FP32, FP16, BF16 = torch.float32, torch.float16, torch.bfloat16
LIMIT = {FP32: 5e-5, FP16: 5e-3, BF16: 3e-2}
EXACT = 5e-5  # of what stays in fp32 whatever the inputs are: LSE, maps

Record = Callable[[str, object], None]
Passes = Callable[[], Sequence[Tensor | None]]


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """What a kernel leaves unwritten is seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cuBLAS, whose bits are not what is tried here
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
        torch.use_deterministic_algorithms(False)


def noise(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=draw).cuda()


def tokens(B: int, N: int, S: int, H: int, D: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v, dout as views of one tensor with tokens before heads, and dlse."""
    q, k, v, up = noise(B, S, 4, H, D).to(dtype).transpose(1, 3).unbind(2)
    return [q[:, :, :N], k, v, up[:, :, :N], noise(B, H, N)]


def bias_of(B: int, H: int, S: int) -> Tensor:
    """One for all heads; every seventh key hidden."""
    bias = noise(B, 1, S, seed=1)
    bias[..., ::7] = -torch.inf
    return bias.expand(B, H, S)


def agree(
    names: str, run: Passes, wanted: Sequence[Tensor | None], dtype: torch.dtype, record: Record
) -> None:
    """names: of what both give; those in capitals stay in fp32."""
    found, again = run(), run()
    for name, x, y, exact in zip(names.split(), found, again, wanted, strict=True):
        if exact is None:
            continue
        assert x is not None and y is not None
        assert torch.equal(x, y), f"{name}: other bits in the second run"
        assert torch.equal(x == -torch.inf, exact == -torch.inf), f"{name}: other rows see nothing"
        rest = finite(x.double()) - finite(exact)
        error = float(rest.norm() / finite(exact).norm().clamp_min(1e-30))
        record(name.lower(), f"{error:.2e}")
        limit = EXACT if name.isupper() else LIMIT[dtype]
        assert error < limit, f"{name}: error {error:.2e}, expected less than {limit}"


def check_disc(
    layout: DiscLayout, B: int, H: int, D: int, dtype: torch.dtype, biased: bool, record: Record
) -> None:
    q, k, v, up, dlse = tokens(B, layout.queries, layout.keys, H, D, dtype)
    rest = layout, D**-0.5, bias_of(B, H, layout.keys) if biased else None

    def run() -> Sequence[Tensor | None]:
        out, lse = disc.forward(q, k, v, *rest)
        return out, lse, *disc.backward(up, dlse, q, k, v, out, lse, *rest)

    wide = [x.double() for x in (q, k, v)]
    exact = disc_reference.forward(*wide, *rest)
    grads = disc_reference.backward(up.double(), dlse.double(), *wide, *exact, *rest)
    agree("out LSE dq dk dv dbias", run, (*exact, *grads), dtype, record)


FLUX = DiscLayout.of([(512, 64, 64)], (0, 512), 8)
DISCS = {  # layout, B, H, D, precision, with bias; every other one is slow to compile
    "two grids, fp32": (
        DiscLayout.of([(0, 9, 13), (122, 5, 4)], (117, 5), 3), 2, 2, 128, FP32, False,
    ),
    "no text, itself only": (DiscLayout.of([(0, 9, 13)], (0, 0), 1), 1, 2, 64, BF16, False),
    "channels in pieces": (DiscLayout.of([(3, 9, 6)], (0, 3), 2.5), 1, 2, 72, FP32, True),
    "whole tiles": (DiscLayout.of([(3, 33, 40)], (0, 3), 30), 1, 2, 64, BF16, False),
    "dK and dV in a launch each": (DiscLayout.of([(3, 5, 18)], (0, 3), 3), 1, 2, 200, BF16, True),
    "rows that start anywhere": (DiscLayout.of([(5, 19, 21)], (0, 5), 6), 1, 3, 37, FP16, False),
    "pooled, hidden keys": (
        DiscLayout.of([(77, 33, 40)], (0, 77), 8, (1397, 80)), 1, 2, 128, BF16, True,
    ),
    "SD3, image first": (DiscLayout.of([(0, 64, 64)], (4096, 333), 16), 2, 3, 64, FP16, False),
    "text first, odd, fp32": (DiscLayout.of([(77, 9, 13)], (0, 77), 5.5), 1, 2, 64, FP32, False),
    "FLUX at 1024, radius 8": (FLUX, 1, 6, 128, BF16, False),
    "FLUX at 1024, radius 16": (
        DiscLayout.of([(512, 64, 64)], (0, 512), 16), 1, 4, 128, BF16, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DISCS)
def test_disc(name: str, record_property: Record) -> None:
    check_disc(*DISCS[name], record_property)


def groups(batch: int, count: int, run: int) -> Tensor:
    """Bits in runs of tokens, some tokens in two groups, some in none."""
    draw = torch.Generator().manual_seed(count)
    words = torch.tensor([0, 1, 2, 4, 5])[
        torch.randint(5, (batch, -(-count // run)), generator=draw)
    ]
    return words.repeat_interleave(run, 1)[:, :count].int().contiguous().cuda()


LABELS = {  # N, S, tokens of a run, B, H, D, precision, with bias, discs
    "discs, pooled keys": (
        142, 150, 25, 1, 2, 128, BF16, True,
        DiscLayout.of([(7, 9, 13), (124, 3, 6)], (0, 7), 4, (142, 8)),
    ),
    "FLUX at 1024": (4608, 4608, 300, 1, 4, 128, BF16, False, None),
    "SDXL with two references": (4096, 12288, 700, 1, 2, 64, FP16, False, None),
    "fp32": (200, 270, 40, 1, 2, 64, FP32, False, None),
    "rows of a batch": (70, 90, 15, 2, 2, 40, BF16, True, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labelled(name: str, record_property: Record) -> None:
    N, S, run_of, B, H, D, dtype, biased, layout = LABELS[name]
    see, own = groups(B, N, run_of), groups(1, S, run_of)
    see[:, :5] = 0
    q, k, v, up, dlse = tokens(B, N, S, H, D, dtype)
    rest = see, own, layout, D**-0.5, bias_of(B, H, S) if biased else None

    def run() -> Sequence[Tensor | None]:
        out, lse = labelled.forward(q, k, v, *rest)
        return out, lse, *labelled.backward(up, dlse, q, k, v, out, lse, *rest)

    wide = [x.double() for x in (q, k, v)]
    exact = labelled_reference.forward(*wide, *rest)
    grads = labelled_reference.backward(up.double(), dlse.double(), *wide, *exact, *rest)
    agree("out LSE dq dk dv dbias", run, (*exact, *grads), dtype, record_property)


def test_the_host_never_waits_for_labels() -> None:
    q, k, v, *_ = tokens(1, 300, 300, 2, 64, BF16)
    see, own = groups(1, 300, 40), groups(1, 300, 30)
    labelled_attention(q, k, v, see=see, own=own, impl="triton")
    torch.cuda.set_sync_debug_mode("error")
    try:
        labelled_attention(q, k, v, see=see, own=own, impl="triton")
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("impl", ["triton", "tiled"])
def test_a_disc_over_all_is_plain_attention(impl: str) -> None:
    q, k, v, *_ = tokens(1, 1397, 1397, 2, 64, BF16)
    where = {"grids": [(77, 33, 40)], "text": (0, 77), "radius": 60}
    out = disc_attention(q, k, v, **where, impl=impl)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v), atol=4e-3, rtol=2e-2)


def test_large_grids_agree_with_plain_torch(record_property: Record) -> None:
    """256 × 256 tokens, a picture of 4096 pixels, where offsets pass 2^31 bytes with more heads."""
    given = tokens(1, 66_048, 66_048, 2, 128, BF16)[:4]
    where = {"grids": [(512, 256, 256)], "text": (0, 512), "radius": 16}

    def passes(impl: str, given: Sequence[Tensor]) -> Sequence[Tensor]:
        leaves = [x.detach().requires_grad_() for x in given[:3]]
        out, lse = disc_attention(*leaves, **where, impl=impl, return_lse=True)
        return out, lse, *torch.autograd.grad(out, leaves, given[3])

    wanted = passes("tiled", [x.float() for x in given])
    names, wide = "out LSE dq dk dv", [x.double() for x in wanted]
    agree(names, lambda: passes("triton", given), wide, BF16, record_property)


MAPS = [  # B, H, N, T, D, W, precision, shape of a bias
    (1, 24, 4608, 16, 128, 8, BF16, None),
    (1, 6, 4608, 512, 128, 8, BF16, None),
    (2, 10, 1024, 77, 64, 3, FP16, None),
    (1, 8, 256, 17, 160, 2, BF16, None),
    (1, 2, 129, 77, 64, 3, FP32, None),
    (1, 2, 70, 17, 72, 2, FP32, None),
    (2, 3, 37, 17, 40, 2, BF16, (1, 1, 37, 17)),
    (1, 1, 1, 1, 8, 1, FP32, None),
]  # fmt: skip


@pytest.mark.parametrize("case", MAPS, ids=str)
def test_maps(case: tuple[int, ...], record_property: Record) -> None:
    B, H, N, T, D, W, dtype, shape = case
    q, k, *_ = tokens(B, N, max(N, T + 5), H, D, dtype)
    q = q * 2
    bias = None if shape is None else bias_of(*shape[1:])[None].expand(B, H, N, T)
    lse = maps_reference.lse(q.double(), k.double()).float()
    lse[..., :1] = -torch.inf if N > 1 else 0.0
    k, words, dout = k[:, :, :T], noise(B, T, W), noise(B, N, W, seed=9)
    rest = words, lse, bias, D**-0.5

    def run() -> Sequence[Tensor]:
        return maps.forward(q, k, *rest), *maps.backward(dout, q, k, *rest)

    wide = [x.double().requires_grad_() for x in (q, k, lse)]
    there = None if bias is None else bias.double()
    exact = maps_reference.word_maps(*wide[:2], words.double(), wide[2], there, D**-0.5)
    grads = torch.autograd.grad(exact, wide, dout.double())
    agree("MAPS dq dk dlse", run, (exact.detach(), *grads), dtype, record_property)


def test_maps_of_rows_further_apart_than_32_bits_can_count() -> None:
    q = torch.zeros(66 * 2**25, dtype=FP16, device="cuda").as_strided(
        (1, 1, 66, 16), (0, 0, 2**25, 1)
    )
    q.copy_(noise(1, 1, 66, 16))
    k, words, lse = noise(1, 1, 9, 16).half(), noise(1, 9, 2), noise(1, 1, 66)
    found = word_maps(q, k, words, lse, impl="triton")
    wanted = word_maps(q.double(), k.double(), words, lse.double(), impl="reference")
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


LSES = [(128, BF16, False), (256, BF16, False), (40, FP16, False), (64, FP32, False)]
LSES += [(64, BF16, True), (40, FP32, True), (5, FP16, True)]


@pytest.mark.parametrize(("D", "dtype", "biased"), LSES, ids=str)
def test_attention_with_its_lse(
    D: int, dtype: torch.dtype, biased: bool, record_property: Record
) -> None:
    q, k, v, up, dlse = tokens(2, 341, 341, 3, D, dtype)
    bias = noise(1, 1, 341, 341).to(dtype) if biased else None
    if bias is not None:
        bias[..., 2], bias[:, :, 1] = -torch.inf, -torch.inf
        dlse[..., 1] = 0

    def passes(function: Callable[..., tuple[Tensor, Tensor]], *given: Tensor) -> Sequence[Tensor]:
        leaves = [x.detach().requires_grad_() for x in given]
        there = None if bias is None else bias.to(given[0].dtype)
        out, lse = function(*leaves, bias=there)
        return out, lse, *torch.autograd.grad([out, lse], leaves, [up.to(out), dlse.to(lse)])

    found = passes(attention_lse, q, k, v)
    if fuses_lse(q, k, v, bias):
        mask = None if bias is None else F.pad(bias, (0, 11))[..., :341].expand(2, 3, 341, 341)
        bits = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        some = found[1] > -torch.inf
        assert torch.equal(found[0][some], bits[some])
    wanted = passes(maps_reference.attention_lse, *(x.double() for x in (q, k, v)))
    agree("out LSE dq dk dv", lambda: found, wanted, dtype, record_property)


@pytest.mark.parametrize(("D", "dtype"), [(128, BF16), (64, FP16), (5, FP32)])
def test_merge(D: int, dtype: torch.dtype, record_property: Record) -> None:
    """Four parts; row 1 sees nothing, row 2 nothing in parts 0 and 3, whose outputs are NaN."""
    outs, lses = noise(4, 2, 3, 19, D).to(dtype), noise(4, 2, 3, 19) * 3
    for part, row in ((0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (3, 2)):
        lses[part, :, :, row] = -torch.inf
        outs[part, :, :, row] = torch.nan
    dout, dlse = noise(2, 3, 19, D, seed=5).to(dtype), noise(2, 3, 19, seed=6)

    def run() -> Sequence[Tensor]:
        out, lse = merge.forward(outs, lses)
        return out, lse, *merge.backward(dout, dlse, outs, lses, out, lse)

    wide = outs.double(), lses.double()
    exact = merge_reference.forward(*wide)
    grads = merge_reference.backward(dout.double(), dlse.double(), *wide, *exact)
    agree("out LSE douts dlses", run, (*exact, *grads), dtype, record_property)
