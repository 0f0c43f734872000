"""Laws of consistency: equal prompts, who is missing, order, other kernels, masks on grids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from attention_studio.kernels.labelled import labelled_attention
from attention_studio.processors import (
    IsolateSubjects,
    ReadSubjectPrompts,
    RepositionSubjects,
    Subject,
    engine,
)
from attention_studio.processors.call import Kind
from attention_studio.processors.controls.reposition_subjects import multiplicity
from attention_studio.processors.controls.subjects import held, label_map

from .calls import a_call
from .test_consistency import (
    LEFT,
    PROMPTS,
    RIGHT,
    SIZE,
    TWO,
    at,
    call_of,
    close,
    gates,
    plain,
    run,
    scene,
)

# T9: mutual cross-attention


def test_portraits_prompts_are_read_where_their_subjects_are() -> None:
    call = call_of(kind=Kind.CROSS)
    found, row = run(call, ReadSubjectPrompts(TWO, 0.9)), scene(call_of())[1]
    wanted = plain(call)[row].clone()
    for place, portrait in ((LEFT, 3), (RIGHT, 4)):
        own = at(place).flatten()
        read = F.scaled_dot_product_attention(call.q[row], call.k[portrait], call.v[portrait])
        wanted[:, own] = 0.1 * wanted[:, own] + 0.9 * read[:, own]
    close(found[row], wanted)
    assert torch.equal(found[:2], plain(call)[:2])


def test_equal_prompts_read_the_same() -> None:
    call = call_of(kind=Kind.CROSS)
    k, v = call.k.clone(), call.v.clone()
    k[:3], v[:3] = k[:1], v[:1]  # equal negative prompts
    equal = call.with_tokens(call.q, k, v)
    found = run(equal, ReadSubjectPrompts(TWO, 0.9))
    close(found[:3], plain(equal)[:3])
    assert not torch.allclose(found[5], plain(equal)[5])
    k[3:], v[3:] = k[5:], v[5:]  # portraits with the scene's own prompt
    alike = call.with_tokens(call.q, k, v)
    for strength in (0.3, 1.0):
        close(run(alike, ReadSubjectPrompts(TWO, strength)), plain(alike))


# T10, T11, T13


@pytest.mark.parametrize("lost", ["place", "seat"])
def test_who_is_not_there_is_left_alone(lost: str) -> None:
    call, nothing = call_of(), torch.zeros(10, 14)
    gone = Subject("dog", nothing, 1) if lost == "place" else Subject("dog", RIGHT, 1, nothing)
    control = RepositionSubjects((TWO[0], gone), dropout=0.0)
    found = run(call, control)
    assert bool(found.isfinite().all())
    close(found, run(call, RepositionSubjects(TWO[:1], dropout=0.0, prompts=(2,))))
    if lost == "place":
        assert torch.equal(run(call, IsolateSubjects((TWO[0], gone))), plain(call))
        bound = control.bind(PROMPTS)
        assert bound is not None
        engine.run(call, [bound])
        assert bound.notes()[1] == "dog has no place in the picture and was left alone"


def test_without_portraits_isolation_is_left() -> None:
    call = call_of()
    alone = run(call, IsolateSubjects(TWO))
    assert torch.equal(run(call, IsolateSubjects(TWO), RepositionSubjects(TWO, dropout=1.0)), alone)


def test_subjects_may_come_in_any_order() -> None:
    call = call_of()
    swapped = tuple(replace(s, portrait=1 - (s.portrait or 0)) for s in TWO[::-1])
    order = [1, 0, 2, 4, 3, 5]
    other = call.with_tokens(call.q[order], call.k[order], call.v[order])
    for subjects, there in ((TWO, call), (swapped, other)):
        controls = (IsolateSubjects(subjects), RepositionSubjects(subjects, seed=3))
        found = run(there, *controls)
        if there is call:
            wanted = found
    close(found[[2, 5]], wanted[[2, 5]])


# T14, T16


@pytest.mark.parametrize("impl", ["reference", "tiled", "triton"])
def test_the_labelled_kernels_agree(impl: str) -> None:
    call = a_call(Kind.SELF, prompts=3, images=1)
    control = RepositionSubjects(TWO, dropout=0.5, seed=1)
    found, row = run(call, control, IsolateSubjects(TWO)), scene(call)[1]
    labels = label_map([at(LEFT), at(RIGHT)], "drop").flatten().int()
    see = torch.where(labels == 0, 7, 1 | (2 << (labels - 1).clamp_min(0)))
    own, keys, values, bias = [1 << labels], [call.k[row]], [call.v[row]], [torch.zeros(SIZE)]
    for i, (subject, gate) in enumerate(zip(TWO, gates(control, call), strict=True)):
        assert subject.seat is not None
        times = multiplicity(at(subject.seat), at(subject.where)).flatten()
        see = see | ((labels == i + 1) & gate).int() * (8 << i)
        own.append(torch.full((SIZE,), 8 << i))
        bias.append(times.float().log())
        keys.append(call.k[3 + i])
        values.append(call.v[3 + i])
    wanted = labelled_attention(
        call.q[row : row + 1],
        torch.cat(keys, 1)[None],
        torch.cat(values, 1)[None],
        see=see[None].int(),
        own=torch.cat(own)[None].int(),
        key_bias=torch.cat(bias),
        impl=impl,  # type: ignore[arg-type]
    )
    close(found[row], wanted[0], 1e-5)


def test_a_mask_keeps_its_area_on_a_grid() -> None:
    y, x = torch.meshgrid(torch.arange(160), torch.arange(224), indexing="ij")
    disc = ((y - 80) ** 2 + (x - 100) ** 2 < 60**2).float()
    for grid in ((5, 7), (10, 14), (20, 28)):
        cells = float(disc.mean()) * grid[0] * grid[1]
        border = 8 * 60 / 160 * grid[0]  # a disc of radius r touches fewer than 8 r cells
        assert abs(float(held(disc, grid, "it").sum()) - cells) < border / 4
    assert bool(held(torch.ones(3, 3), (5, 5), "it").all())
    assert not bool(held(torch.zeros(3, 3), (5, 5), "it").any())


@pytest.mark.parametrize(
    ("overlap", "wanted"),
    [
        ("small-front", [1, 1, 1, 2, 2, 0]),
        ("official", [1, 1, 1, 1, 2, 0]),
        ("first-front", [1, 1, 1, 1, 2, 0]),
        ("drop", [1, 1, 1, 0, 2, 0]),
    ],
)
def test_masks_are_exclusive(overlap: Any, wanted: list[int]) -> None:
    large, small = torch.tensor([[1, 1, 1, 1, 0, 0]]).bool(), torch.tensor([[0, 0, 0, 1, 1, 0]])
    assert label_map([large, small.bool()], overlap)[0].tolist() == wanted
    if overlap != "first-front":
        turned = label_map([small.bool(), large], overlap)[0]
        assert [{0: 0, 1: 2, 2: 1}[int(x)] for x in turned] == wanted
