"""What a run does not do: projections that no row looks by, and asking the same thing twice."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import pytest
import torch

from attention_studio.processors import (
    Call,
    Control,
    Interval,
    KeepLayout,
    Mix,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    Site,
    Step,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.tensors import Given, pick

from .conftest import STEPS, Studio

SELF, CROSS = "attn1", "attn2"
ALWAYS = Interval()


def projected(studio: Studio, controls: list[Control], kind: str) -> tuple[set[int], ...]:
    """Numbers of rows that were projected at once to q, k and v, at sites of a kind."""
    rows: dict[str, set[int]] = {"to_q": set(), "to_k": set(), "to_v": set()}
    hooks = [
        getattr(module, name).register_forward_pre_hook(
            lambda _, given, seen=seen: seen.add(len(given[0]))
        )
        for path, module in studio.pipe.unet.named_modules()
        if path.endswith(kind)
        for name, seen in rows.items()
    ]
    with attach(studio.pipe, controls):
        studio()
    for hook in hooks:
        hook.remove()
    return tuple(rows.values())


@pytest.mark.parametrize(
    ("controls", "kind", "rows"),
    [
        ([], SELF, {4}),
        ([KeepLayout(ALWAYS)], SELF, {3}),
        ([KeepLayout(Interval(0, 0.5))], SELF, {3, 4}),
        ([KeepLayout(ALWAYS)], CROSS, {4}),
        ([ReplaceWords(ALWAYS)], CROSS, {3}),
        ([ReplaceWords(ALWAYS, {"tiger": Interval(0, 0)})], CROSS, {4}),
        ([RefineWords(ALWAYS)], CROSS, {4}),  # "tiger" keeps its own map
        ([ReplaceWords(ALWAYS), RecordMaps(("grass",), every_grid=True)], CROSS, {3}),
        ([ReplaceWords(ALWAYS), RecordMaps(("grass",), False, every_grid=True)], CROSS, {4}),
    ],
)
def test_rows_that_nobody_looks_by_are_not_projected(
    controls: list[Control], kind: str, rows: set[int]
) -> None:
    assert projected(Studio("sd"), controls, kind) == (rows, rows, {4})


@dataclass(frozen=True, eq=False)
class Count(Control):
    """Notes at which sites and steps it was asked for its mix; `steps` of them are one phase."""

    asked: tuple[list[tuple[Site, int]]] = ([],)
    steps: int = 1

    def phase(self, step: Step) -> Hashable:
        return step.index // self.steps if self.steps > 1 else super().phase(step)

    def mix(self, call: Call, mix: Mix) -> Mix:
        self.asked[0].append((call.site, call.step.index))
        return mix


@pytest.mark.parametrize(("steps", "times"), [(1, 3), (2, 2), (3, 1)])
def test_controls_are_asked_once_a_phase_and_site(steps: int, times: int) -> None:
    studio, count = Studio("sd"), Count(([],), steps)
    sites = len(studio.pipe.unet.attn_processors)
    with attach(studio.pipe, [count]):
        for _ in range(2):  # a new run asks anew
            count.asked[0].clear()
            studio()
            assert len(count.asked[0]) == len(set(count.asked[0])) == times * sites
    assert STEPS == 3


def test_rows_are_views_where_they_can_be() -> None:
    x = torch.arange(12.0).view(4, 3)
    for rows in ([], [1], [0, 1, 2, 3], [2, 3], [3, 3, 3], [0, 2], [2, 1, 1]):
        found = pick(x, rows)
        assert torch.equal(found, x[rows])
        is_view = found.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        assert is_view == (rows not in ([0, 2], [2, 1, 1]))


def test_given_tensors_answer_for_every_row() -> None:
    q, k, v = torch.randn(3, 4, 1, 5, 2).unbind(0)
    given = Given(q, k, v)
    found = given.looks([1, 3]).of([3, 1, 3])
    assert given.queries == 5
    assert torch.equal(found[0], q[[3, 1, 3]]) and torch.equal(found[1], k[[3, 1, 3]])
