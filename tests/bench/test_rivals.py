"""The rivals compute what their rows say they compute."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from attention_studio.bench import SUITES, Case, disc, labelled
from attention_studio.bench.dense import dense
from attention_studio.bench.flex import block_mask
from attention_studio.bench.gate import worst_error
from attention_studio.bench.natten import natten


@pytest.fixture
def eager_flex(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention uncompiled: the same result without a minute of compiling."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("build", [disc.flex_raster, disc.flex_tiled])
def test_flex_is_disc_attention_in_either_order(case: Case, build) -> None:  # type: ignore[no-untyped-def]
    case = replace(case, grid=(16, 48))
    given = case.inputs()
    (contender,) = build(case, given)
    assert worst_error(contender, disc.reference(case), given, backward=False) < 2e-5
    assert contender.executed is not None and contender.executed < 49 * 128**2


@pytest.mark.usefixtures("eager_flex")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("build", [labelled.flex_labels, labelled.sdpa_masked])
def test_masks_of_groups_are_labelled_attention(case: Case, build) -> None:  # type: ignore[no-untyped-def]
    given = case.inputs()
    (contender,) = build(case, given)
    assert worst_error(contender, labelled.reference(case), given, backward=False) < 2e-5


def test_block_masks_are_those_of_pytorch() -> None:
    tokens = 300

    def rule(i: Tensor, j: Tensor) -> Tensor:
        return ((i - j).abs() < 150) | (j < 3)

    mask, executed = block_mask(rule, tokens, torch.device("cpu"))
    theirs = create_block_mask(lambda b, h, i, j: rule(i, j), None, None, tokens, tokens, "cpu")
    assert torch.equal(mask.to_dense(), theirs.to_dense())
    assert torch.equal(mask.kv_num_blocks, theirs.kv_num_blocks)
    assert torch.equal(mask.full_kv_num_blocks, theirs.full_kv_num_blocks)
    assert executed == int(theirs.to_dense().sum()) * 128**2


def test_a_grid_that_has_no_tiles_is_an_empty_cell(case: Case) -> None:
    case = replace(case, grid=(9, 16))
    (contender,) = disc.flex_tiled(case, case.inputs())
    assert contender.attend is None and "no multiple of 8 x 16" in contender.note


def test_flex_says_what_a_cpu_cannot(case: Case) -> None:
    large = replace(case, grid=(96, 96))
    (contender,) = disc.flex_raster(large, large.inputs())
    assert contender.attend is None and "too long on a CPU" in contender.note
    back = replace(case, backward=True)
    (contender,) = disc.flex_raster(back, back.inputs())
    assert contender.attend is None and "no backward pass" in contender.note


def test_dense_on_some_rows_says_so(case: Case) -> None:
    (contender,) = dense(replace(case, dense_rows=23), case.inputs())
    assert contender.inputs[0].shape[2] == 23 and contender.share == 23 / 138
    assert contender.note == "extrapolated from 23 of 138 query rows"
    whole, in_fp32 = dense(
        replace(case, dtype=torch.bfloat16), [x.bfloat16() for x in case.inputs()]
    )
    assert (whole.share, whole.note, in_fp32.name) == (1, "", "dense SDPA in fp32")
    assert in_fp32.attend is not None and in_fp32.attend(*in_fp32.inputs).dtype == torch.bfloat16


def test_natten_gets_the_image_and_the_words(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against its documented signature; the real one needs a GPU."""
    given = case.inputs()
    (missing,) = natten(case, given)
    if missing.attend is None:
        assert missing.note == "not measured: natten is not installed"
    got: dict[str, object] = {}

    def na2d(q: Tensor, k: Tensor, v: Tensor, *, kernel_size: object, **extra: Tensor) -> Tensor:
        got.update(q=q, kernel_size=kernel_size, **extra)
        return v

    monkeypatch.setitem(sys.modules, "natten", SimpleNamespace(na2d=na2d, __version__="9"))
    (contender,) = natten(case, given)
    assert contender.attend is not None and not contender.same
    q = contender.attend(*contender.inputs)
    assert q.shape == (1, 8, 16, 2, 8)  # batch, height, width, heads, channels
    assert torch.equal(q[0, 3, 5, 1], given[2][0, 1, 10 + 3 * 16 + 5])
    assert got["kernel_size"] == (7, 7)  # 3.5 · √π = 6.2, and 7 is the nearest odd number
    words = got["additional_values"]
    assert isinstance(words, Tensor) and torch.equal(words, given[2][:, :, :10].transpose(1, 2))


def test_every_suite_s_own_kernel_is_right(case: Case) -> None:
    for suite in SUITES.values():
        contender = suite.ours(case, case.inputs())
        error = worst_error(
            contender, suite.reference(case), case.inputs(), backward=suite.backward
        )
        assert 0 <= error < 2e-5, suite.name


def test_eager_maps_are_the_same_maps(case: Case) -> None:
    suite = SUITES["maps"]
    (contender,) = suite.rivals["eager"](case, case.inputs())
    assert worst_error(contender, suite.reference(case), case.inputs(), backward=False) < 2e-5
    assert contender.attend is not None
    assert contender.attend(*contender.inputs).shape == (1, case.tokens, 8)
    with pytest.raises(ValueError, match="text: 3 came"):
        suite.ours(replace(case, text=3), case.inputs())
