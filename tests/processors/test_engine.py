"""Masks, biases, other operators and recording, call by call."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import (
    Call,
    Control,
    Dense,
    KeyBias,
    Kind,
    Labels,
    Mask,
    Mix,
    Rows,
    Site,
    Step,
    Window,
)
from attention_studio.processors.engine import run
from attention_studio.processors.recorder import Columns, Recorder, Word

from .calls import GRID, TOKENS, a_call

EDITS = [8, 9, 10, 11]


@dataclass(frozen=True, eq=False)
class Limit(Control):
    """A mask or a bias that the test hands in."""

    given: Mask | None = None
    log_weight: KeyBias | None = None

    def mask(self, call: Call) -> Mask | None:
        return self.given

    def bias(self, call: Call) -> KeyBias | None:
        return self.log_weight


def attention(call: Call, bias: Tensor | float = 0.0) -> Tensor:
    scores = call.q.double() @ call.k.double().mT * 8**-0.5 + bias
    return scores.softmax(-1) @ call.v.double()


def close(out: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [Kind.CROSS, Kind.SELF])
def test_without_verbs_the_bits_are_torch_s(kind: Kind) -> None:
    call = a_call(kind)
    stock = F.scaled_dot_product_attention(call.q, call.k, call.v)
    assert torch.equal(run(call, []), stock)
    assert torch.equal(run(call, [Control(), Limit()]), stock)


@pytest.mark.parametrize(
    ("rows", "touched"), [(Rows.COND_EDIT, EDITS), (Rows.COND, range(6, 12)), (Rows.ALL, range(12))]
)
def test_a_window_holds_for_its_rows_only(rows: Rows, touched: list[int]) -> None:
    call = a_call(Kind.SELF)
    out = run(call, [Limit(Mask.of(Window(2.0)), rows=rows)])
    height, width = GRID
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    near = (places[:, None] - places[None]).square().sum(-1) < 4
    bias = torch.zeros(12, 1, *near.shape, dtype=torch.float64)
    bias[list(touched)] = bias[list(touched)].masked_fill(~near, -torch.inf)
    close(out, attention(call, bias))


def test_text_is_seen_through_every_window() -> None:
    call = a_call(Kind.CROSS)
    close(run(call, [Limit(Mask.of(Window(1.0)), rows=Rows.ALL)]), attention(call))


def test_masks_are_joined_and_biases_add_up() -> None:
    call = a_call()
    N = GRID[0] * GRID[1]
    see = torch.arange(N)[None] % 2 + 1
    own = torch.tensor([[1, 2, 3, 1, 2, 3, 3, 1, 2]])
    table = torch.ones(N, TOKENS, dtype=torch.bool)
    table[:, 2] = False
    labels, dense = Mask.of(Labels(see, own)), Mask.of(Dense(table))
    keys = torch.linspace(-1, 1, TOKENS)
    by_label = KeyBias(torch.stack([keys, -keys]), torch.arange(N) % 2)
    joined = run(call, [Limit(labels & dense, KeyBias(keys + keys.flip(0))), Limit(None, by_label)])
    apart = run(
        call,
        [Limit(labels, KeyBias(keys)), Limit(dense, KeyBias(keys.flip(0))), Limit(None, by_label)],
    )
    allowed = ((see[0][:, None] & own[0]) != 0) & table
    bias = torch.zeros(12, 1, N, TOKENS, dtype=torch.float64)
    bias[EDITS] = (
        torch.zeros(N, TOKENS).masked_fill(~allowed, -torch.inf)
        + (keys + keys.flip(0))
        + torch.stack([keys, -keys])[torch.arange(N) % 2]
    ).double()
    close(joined, attention(call, bias))
    close(apart, attention(call, bias))


def test_limits_belong_to_the_output_row() -> None:
    """An edit that looks by the source's queries keeps its own mask."""
    call = a_call()

    class Look(Control):
        def mix(self, call: Call, mix: Mix) -> Mix:
            return mix.looked_by(8, 6)

    keys = torch.linspace(-2, 2, TOKENS)
    out = run(call, [Look(), Limit(None, KeyBias(keys))])
    scores = call.q[6].double() @ call.k[6].double().mT * 8**-0.5
    close(out[8], (scores + keys).softmax(-1) @ call.v[8].double())
    close(out[6], scores.softmax(-1) @ call.v[6].double())


class Zero(Control):
    """Another operator."""

    def attend(self, call: Call) -> Tensor | None:
        return torch.zeros_like(call.q)


class Halve(Control):
    """Edits probabilities in full."""

    def edit(self, probs: Tensor, call: Call) -> Tensor:
        return probs * 0.5


class Look(Control):
    """Mixes."""

    def mix(self, call: Call, mix: Mix) -> Mix:
        return mix.looked_by(8, 6)


def test_one_operator_a_site_and_no_edit_of_its_maps() -> None:
    call = a_call()
    assert bool((run(call, [Zero(), Limit()]) == 0).all())
    with pytest.raises(ValueError, match=r"controls: Zero and Zero both replace .* up.0.attn"):
        run(call, [Zero(), Zero()])
    for other in (Look(), Halve()):
        with pytest.raises(ValueError, match=r"Zero replaces .* its maps cannot be edited"):
            run(call, [Zero(), other])


def test_the_slow_road_agrees_with_the_fast_one() -> None:
    call = a_call()
    keys = torch.linspace(-2, 2, TOKENS)
    limit = Limit(None, KeyBias(keys))
    torch.testing.assert_close(
        run(call, [Look(), limit, Halve()]), run(call, [Look(), limit]) * 0.5, atol=1e-5, rtol=1e-5
    )


@dataclass(frozen=True, eq=False)
class Read(Control):
    """Records two words of prompt 0 and one of prompt 1."""

    edited: bool = True

    def record(self, site: Site, step: Step) -> Columns:
        words = (Word(0, "cat", (2, 3)), Word(0, "grass", (7,)), Word(1, "dog", (2, 5)))
        return Columns(words, self.edited)


class Edit(Control):
    """Prompt 1 reads as the source through a random map, half open, re-weighted."""

    def mix(self, call: Call, mix: Mix) -> Mix:
        for row in (8, 9):
            matrix = torch.rand(TOKENS, TOKENS, generator=torch.Generator().manual_seed(3))
            gate = torch.tensor([1.0, 0, 1, 0, 1, 1, 0, 0, 1])
            mix = mix.read_as(row, call.batch.source_of(row), matrix, gate)
            mix = mix.scaled(row, torch.linspace(-1, 2, TOKENS))
        return mix


@pytest.mark.parametrize("edited", [True, False])
@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize("limited", [True, False])
def test_recorded_maps_are_the_columns_that_acted(edited: bool, slow: bool, limited: bool) -> None:
    call, recorder, reader = a_call(), Recorder(), Read(edited)
    limit = Limit(None, KeyBias(torch.linspace(-2, 2, TOKENS)))
    extra = [Control() if not slow else NoEdit()] + ([limit] if limited else [])
    run(call, [Edit(), reader, *extra], recorder)
    maps = recorder.maps(reader)
    for image in (0, 1):
        row, source = 8 + image, 6 + image
        bias = torch.linspace(-2, 2, TOKENS).double() if limited else 0.0
        scores = call.q.double() @ call.k.double().mT * 8**-0.5
        own, from_source = (scores[r] + bias for r in (row, source))
        wanted = own.softmax(-1)
        if edited:
            matrix = torch.rand(TOKENS, TOKENS, generator=torch.Generator().manual_seed(3)).double()
            gate = torch.tensor([1.0, 0, 1, 0, 1, 1, 0, 0, 1]).double()
            wanted = from_source.softmax(-1) @ matrix * gate + wanted * (1 - gate)
            wanted = wanted * torch.linspace(-1, 2, TOKENS).double()
        column = wanted.mean(0)[:, [2, 5]].sum(-1).view(GRID)
        found = maps.get("dog", prompt=1, image=image)
        torch.testing.assert_close(found.double(), column, atol=2e-6, rtol=1e-5)
        column = scores[source].softmax(-1).mean(0)[:, [2, 3]].sum(-1).view(GRID)
        found = maps.get("cat", image=image)
        torch.testing.assert_close(found.double(), column, atol=2e-6, rtol=1e-5)


class NoEdit(Control):
    """Forces the slow road."""

    def edit(self, probs: Tensor, call: Call) -> Tensor:
        return probs


def test_recording_keeps_the_bits() -> None:
    call = a_call()
    assert torch.equal(run(call, [Edit(), Read()], Recorder()), run(call, [Edit()]))
    assert torch.equal(run(call, [Read()], Recorder()), run(call, []))
