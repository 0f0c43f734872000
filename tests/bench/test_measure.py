"""Rows: interleaved times, ratios, and empty cells that say why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import sleep
from types import MappingProxyType

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.bench import Case, Row, append_csv, measure, table
from attention_studio.bench.clock import take_turns
from attention_studio.bench.contender import Contender, absent
from attention_studio.bench.memory import STATUS, extra_bytes
from attention_studio.bench.stamp import stamp
from attention_studio.bench.suites import Suite

CPU = torch.device("cpu")
dense = F.scaled_dot_product_attention


def slow(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    sleep(0.02)
    return dense(q, k, v)


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise RuntimeError("no  such\nbackend")


def suite(ours=dense, **rivals) -> Suite:  # type: ignore[no-untyped-def]
    return Suite(
        "toy",
        lambda case, given: Contender("ours", ours, tuple(given), executed=case.tokens**2),
        MappingProxyType(rivals),
        lambda case: dense,
        lambda case: case.tokens**2,
    )


def rival(attend, **more):  # type: ignore[no-untyped-def]
    return lambda case, given: [Contender("rival", attend, tuple(given), **more)]


def test_a_row_each_and_a_ratio(case: Case) -> None:
    case = replace(case, against=("rival",), backward=True)
    rows = measure(suite(rival=rival(slow)), case, repetitions=3)
    assert [(r.implementation, r.direction) for r in rows] == [
        ("ours", "forward"),
        ("rival", "forward"),
        ("ours", "backward"),
        ("rival", "backward"),
    ]
    ours, theirs, back = rows[0], rows[1], rows[2]
    assert ours.times_ours == 1 and theirs.times_ours is not None and theirs.times_ours > 5
    for row in (ours, theirs):
        assert row.ms_min is not None and row.ms_median is not None and row.ms_max is not None
        assert 0 < row.ms_min <= row.ms_median <= row.ms_max and row.repetitions == 3
        assert row.error is not None and row.error < 2e-6 and row.note == ""
    flops = 4 * case.tokens**2 * case.head_dim * case.heads
    assert ours.ms_median is not None
    assert ours.useful_tflops == pytest.approx(flops / ours.ms_median / 1e9)
    assert ours.executed_tflops == ours.useful_tflops
    assert back.executed_tflops is None and theirs.executed_tflops is None


def test_a_share_of_the_work_is_scaled_and_marked(case: Case) -> None:
    case = replace(case, against=("rival",))
    part = rival(slow, share=0.1, same=False, note="extrapolated from a tenth")
    row = measure(suite(rival=part), case, repetitions=1)[1]
    assert row.ms_median is not None and row.ms_median > 200
    assert row.note == "extrapolated from a tenth" and row.extra_mib is None


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (rival(lambda q, k, v: 2 * dense(q, k, v)), "not measured: refused: differs"),
        (rival(broken), "not measured: RuntimeError: no such backend"),
        (rival(broken, same=False), "not measured: RuntimeError: no such backend"),
        (lambda case, given: [absent("rival", "not installed")], "not measured: not installed"),
    ],
)
def test_an_empty_cell_says_why(case: Case, build, said: str) -> None:  # type: ignore[no-untyped-def]
    ours, row = measure(suite(rival=build), replace(case, against=("rival",)), repetitions=1)
    assert row.ms_median is None and row.times_ours is None and row.note.startswith(said)
    assert ours.ms_median is not None


def test_our_own_wrong_result_is_not_timed(case: Case) -> None:
    wrong = suite(lambda q, k, v: 2 * dense(q, k, v), rival=rival(dense))
    ours, theirs = measure(wrong, replace(case, against=("rival",)), repetitions=1)
    assert ours.ms_median is None and "refused" in ours.note
    assert theirs.ms_median is not None and theirs.times_ours is None


def test_rivals_not_asked_for_are_named(case: Case) -> None:
    row = measure(suite(rival=rival(dense)), case, repetitions=1)[1]
    assert row.note == "not measured: --against rival was not given"
    with pytest.raises(ValueError, match=r"against: \['other'\] came; toy knows rival"):
        measure(suite(rival=rival(dense)), replace(case, against=("other",)), repetitions=1)
    forward_only = replace(suite(), backward=False)
    with pytest.raises(ValueError, match="backward: came for toy"):
        measure(forward_only, replace(case, backward=True), repetitions=1)


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = take_turns(
        [lambda: order.append("a"), lambda: order.append("b")], repetitions=3, device=CPU
    )
    assert order == list("ababab") and [len(t) for t in times] == [3, 3]
    with pytest.raises(ValueError, match="repetitions: 0 came"):
        take_turns([], repetitions=0, device=CPU)


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux")
def test_memory_at_the_peak_is_seen_though_it_is_freed() -> None:
    found = extra_bytes(lambda: torch.ones(2**25), CPU)
    assert found is None or 0.9 * 2**27 < found < 1.2 * 2**27


def test_rows_are_appended_and_columns_kept(case: Case, tmp_path: Path) -> None:
    rows = measure(suite(), case, repetitions=1)
    facts, path = stamp(CPU), tmp_path / "results" / "toy.csv"
    for _ in range(2):
        append_csv(path, rows, facts)
    lines = path.read_text().splitlines()
    assert len(lines) == 3 and lines[0].endswith("device,threads,date,commit,torch,triton")
    assert lines[1] == lines[2] and lines[1].startswith("toy,ours,forward,8x16,,10,2,8,1,float32,")
    path.write_text("other,columns\n")
    with pytest.raises(ValueError, match=r"csv: .* has the columns \['other', 'columns'\]"):
        append_csv(path, rows, facts)
    assert table(rows, facts).row_count == 1
    assert isinstance(rows[0], Row)


def test_cases_are_checked(case: Case) -> None:
    for changed in ({"heads": 0}, {"grid": (0, 4)}, {"text": -1}):
        with pytest.raises(ValueError, match="came; expected at least"):
            replace(case, **changed)  # type: ignore[arg-type]
