"""What `bench maps` says of recording, and how it bounds the eager way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attention_studio.bench import SUITES, Case, measure
from attention_studio.bench.maps import HELD, eager

FLUX = Case((64, 64), 512, 8.0, 24, 8, torch.float32, torch.device("cpu"))


def test_our_row_says_what_recording_costs(case: Case) -> None:
    case = replace(case, text=8, against=("attention",))
    ours, alone, _ = measure(SUITES["maps"], case, repetitions=3)
    assert alone.times_ours is not None
    top = f"{1 / alone.times_ours - 1:+.1%} time on top of attention alone"
    assert ours.note.startswith(top)
    assert ("MiB at the peak" in ours.note) == (ours.extra_mib is not None)
    assert ours.note.endswith(f"keeps {case.tokens * 8 * 4 / 2**20:.3g} MiB a layer")


def test_without_the_rival_it_says_what_a_layer_keeps(case: Case) -> None:
    case = replace(case, text=8)
    ours, *_ = measure(SUITES["maps"], case, repetitions=1)
    assert ours.note == f"keeps {case.tokens * 8 * 4 / 2**20:.3g} MiB a layer"


def test_the_eager_way_is_bounded_and_says_so(case: Case) -> None:
    (whole,) = eager(replace(case, text=8), case.inputs())
    assert whole.share == 1 and whole.note == ""
    (part,) = eager(FLUX, FLUX.inputs())
    rows = part.inputs[0].shape[2]
    assert HELD / 2 < rows * FLUX.tokens * FLUX.heads <= HELD
    assert part.share == pytest.approx(rows / 4608)
    assert part.note == f"extrapolated from {rows} of 4608 query rows"
