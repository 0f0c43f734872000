"""Isolation, reposition and mutual cross-attention against what is written down, call by call."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import (
    Control,
    IsolateSubjects,
    Prompts,
    ReadSubjectPrompts,
    RepositionSubjects,
    Subject,
    engine,
)
from attention_studio.processors.call import Call, Kind, Role, Row
from attention_studio.processors.controls.draws import drawn
from attention_studio.processors.controls.reposition_subjects import moved, multiplicity
from attention_studio.processors.controls.subjects import held, label_map
from attention_studio.processors.rotary import Rotary

from .calls import GRID, a_call, a_step
from .dense_consistency import literal, nearest

SIZE = GRID[0] * GRID[1]  # 5 x 7
LEFT, RIGHT = (0.0, 0.0, 3 / 7, 1.0), (4 / 7, 0.2, 1.0, 1.0)  # 3 and 3 columns, one between
SEAT_A, SEAT_B = (1 / 7, 0.2, 5 / 7, 0.8), (0.0, 0.0, 2 / 7, 1.0)
TWO = (Subject("cat", LEFT, 0, SEAT_A), Subject("dog", RIGHT, 1, SEAT_B))
PROMPTS = Prompts(("a cat", "a dog", "a cat and a dog"), 3, 1, ())


def call_of(seed: int = 0, kind: Kind = Kind.SELF, prompts: int = 3) -> Call:
    call = a_call(kind, prompts=prompts, images=1, seed=seed)
    return call.with_tokens(call.q.double(), call.k.double(), call.v.double())


def run(call: Call, *controls: Control, prompts: Prompts = PROMPTS) -> Tensor:
    bound = (control.bind(prompts) for control in controls)
    return engine.run(call, [c for c in bound if c is not None and c.acts(call.site, call.step)])


def plain(call: Call) -> Tensor:
    return F.scaled_dot_product_attention(call.q, call.k, call.v)


def at(place: Any) -> Tensor:
    return held(place, GRID, "it")


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


def scene(call: Call) -> tuple[int, int]:
    """The scene's rows: without and with the prompt."""
    rows = call.batch.rows
    return rows.index(Row(2, 0, Role.UNCOND)), rows.index(Row(2, 0, Role.COND))


def gates(control: RepositionSubjects, call: Call) -> list[Tensor]:
    keys = [(control.seed, call.step.call, GRID, 0, s.name) for s in control.subjects]
    return [drawn(key, SIZE, 1 - control.dropout) for key in keys]


# T0, T1, T2


def test_nothing_to_do_leaves_nothing_behind() -> None:
    assert IsolateSubjects(TWO, soft=0.0).bind(PROMPTS) is None
    assert IsolateSubjects(TWO[:1]).bind(PROMPTS) is None  # one subject has nobody to avoid
    assert RepositionSubjects(TWO, dropout=1.0).bind(PROMPTS) is None
    assert ReadSubjectPrompts(TWO, 0.0).bind(PROMPTS) is None
    for control in (IsolateSubjects(), RepositionSubjects(), ReadSubjectPrompts()):
        assert control.bind(PROMPTS) is None


def test_a_subject_that_fills_the_picture_keeps_its_control() -> None:
    call, everywhere = call_of(), (0.0, 0.0, 1.0, 1.0)
    full = (Subject("cat", everywhere, 0), Subject("dog", torch.zeros(5, 7), 1))
    assert torch.equal(run(call, IsolateSubjects(full)), plain(call))
    control = RepositionSubjects(full, dropout=0.0)
    found = run(call, control)
    mask = torch.ones(GRID, dtype=torch.bool)
    always = torch.ones(SIZE, dtype=torch.bool)
    row = scene(call)[1]
    close(found[row], literal(call, row, [3], [mask], [mask], [always], isolate=False))
    assert not torch.allclose(found[row], plain(call)[row], atol=1e-2)


# T3 - T6: isolation


def test_what_is_nobody_s_sees_all_as_before() -> None:
    call = call_of()
    found, labels = run(call, IsolateSubjects(TWO)), label_map([at(LEFT), at(RIGHT)], "drop")
    nobody = (labels == 0).flatten()
    close(found[:, :, nobody], plain(call)[:, :, nobody])
    for row in range(6):
        changed = not torch.allclose(found[row], plain(call)[row])
        assert changed == (row in scene(call))


def test_a_subject_does_not_hear_of_another_one() -> None:
    call, row = call_of(), scene(call_of())[1]
    other, b, a = call_of(1), at(RIGHT).flatten(), at(LEFT).flatten()
    k, v = call.k.clone(), call.v.clone()
    k[row][:, b], v[row][:, b] = other.k[row][:, b], other.v[row][:, b]
    before, after = (run(c, IsolateSubjects(TWO)) for c in (call, call.with_tokens(call.q, k, v)))
    assert torch.equal(before[row][:, a], after[row][:, a])
    nobody = ~(a | b)
    assert not torch.allclose(before[row][:, nobody], after[row][:, nobody], atol=1e-3)


def test_two_halves_are_two_attentions() -> None:
    call, row = call_of(), scene(call_of())[1]
    halves = (Subject("a", (0.0, 0.0, 4 / 7, 1.0)), Subject("b", (4 / 7, 0.0, 1.0, 1.0)))
    found = run(call, IsolateSubjects(halves, prompts=(2,)))
    for subject in halves:
        own = at(subject.where).flatten()
        q, k, v = (x[row : row + 1][:, :, own] for x in (call.q, call.k, call.v))
        close(found[row : row + 1][:, :, own], F.scaled_dot_product_attention(q, k, v))


def test_isolation_does_not_know_an_order() -> None:
    call = call_of()
    close(run(call, IsolateSubjects(TWO)), run(call, IsolateSubjects(TWO[::-1])))


def test_softly_apart_is_less_by_so_many_nats() -> None:
    call, row = call_of(), scene(call_of())[1]
    labels = label_map([at(LEFT), at(RIGHT)], "drop").flatten()
    apart = (labels[:, None] > 0) & (labels > 0) & (labels[:, None] != labels)
    q, k, v = call.q[row], call.k[row], call.v[row]
    wanted = (q @ k.mT * q.shape[-1] ** -0.5 - 1.5 * apart).softmax(-1) @ v
    close(run(call, IsolateSubjects(TWO, soft=1.5))[row], wanted, 1e-6)  # nats are fp32


# T7, T8: reposition


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_it_equals_resampled_keys_under_a_mask(isolate: bool, dropout: float) -> None:
    for seed in range(3):
        call = replace(call_of(seed), step=a_step(seed + 1))
        control = RepositionSubjects(TWO, dropout=dropout, bonus=0.25, seed=seed)
        controls = [control, IsolateSubjects(TWO)] if isolate else [control]
        found = run(call, *controls)
        for row in scene(call):
            portraits = [call.batch.beside(row, 0), call.batch.beside(row, 1)]
            seats, places = [at(SEAT_A), at(SEAT_B)], [at(LEFT), at(RIGHT)]
            wanted = literal(
                call, row, portraits, seats, places, gates(control, call),
                isolate=isolate, bonus=0.25,
            )  # fmt: skip
            close(found[row], wanted, 1e-6)  # log-weights are fp32
        others = [row for row in range(6) if row not in scene(call)]
        assert torch.equal(found[others], plain(call)[others])


def test_multiplicity_is_torch_s_nearest() -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(60):
        source, target = (torch.rand(9, 11, generator=draw) < 0.15 for _ in range(2))
        if source.any() and target.any():
            _, taken = nearest(source, target)
            wanted = torch.bincount(taken, minlength=99).view(9, 11) * source
            assert torch.equal(multiplicity(source, target), wanted)


def test_without_places_a_shift_is_nothing_and_a_scale_is_a_weight() -> None:
    call = call_of()
    small, same = (0.0, 0.0, 2 / 7, 0.4), (0.0, 0.0, 2 / 7, 0.4)
    shifted, larger = (3 / 7, 0.4, 5 / 7, 0.8), (3 / 7, 0.0, 1.0, 0.8)  # 2 x 2 and 4 x 4 tokens
    for where in (same, shifted):
        subject = (Subject("cat", where, 0, small),)
        moves, stays = (
            run(call, RepositionSubjects(subject, dropout=0.0, move=move)) for move in (True, False)
        )
        assert torch.equal(moves, stays)
    subject = (Subject("cat", larger, 0, small),)
    scaled = run(call, RepositionSubjects(subject, dropout=0.0))
    weighed = run(call, RepositionSubjects(subject, dropout=0.0, move=False, bonus=log(4)))
    close(scaled, weighed, 1e-12)
    unit = run(call, RepositionSubjects(subject, dropout=0.0, mass="unit"))
    close(unit, run(call, RepositionSubjects(subject, dropout=0.0, move=False)), 1e-12)
    assert torch.equal(moved(at(small), at(same)), torch.zeros(4, 2))


def test_with_rotary_places_keys_really_move() -> None:
    turn = Rotary(100.0, (2, 2, 4))
    call = call_of()
    places = turn.places(GRID)
    at_home = call.with_tokens(turn.turned(call.q, places), turn.turned(call.k, places), call.v)
    at_home = replace(at_home, site=replace(call.site, rotary=turn))
    small, shifted = (0.0, 0.0, 2 / 7, 0.4), (3 / 7, 0.4, 5 / 7, 0.8)
    row, portrait = scene(call)[1], 3
    found = run(at_home, RepositionSubjects((Subject("cat", shifted, 0, small),), dropout=0.0))
    seat, place = at(small).flatten(), at(shifted).flatten()
    keys = turn.turned(call.k[portrait][:, seat], places[place])  # as if it had stood there
    q = at_home.q[row][:, place]
    k = torch.cat([keys, at_home.k[row]], 1)
    wanted = F.scaled_dot_product_attention(
        q, k, torch.cat([call.v[portrait][:, seat], call.v[row]], 1)
    )
    close(found[row][:, place], wanted, 1e-6)
    still = run(at_home, RepositionSubjects((Subject("cat", small, 0, small),), dropout=0.0))
    stays = run(
        at_home, RepositionSubjects((Subject("cat", small, 0, small),), dropout=0.0, move=False)
    )
    close(still, stays)
    assert not torch.allclose(
        found,
        run(
            at_home,
            RepositionSubjects((Subject("cat", shifted, 0, small),), dropout=0.0, move=False),
        ),
    )


def test_half_a_token_of_scale_is_a_fraction() -> None:
    source, target = torch.zeros(4, 4).bool(), torch.zeros(4, 4).bool()
    source[:2, :2], target[1:4, 1:4] = True, True
    rows = moved(source, target)[:, 0] + torch.tensor([0.0, 0.0, 1.0, 1.0])
    close(rows, torch.tensor([1.25, 1.25, 2.75, 2.75]))
