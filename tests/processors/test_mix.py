"""The algebra of mixes against maps formed in full."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import Call, Control, Mix, Term
from attention_studio.processors.engine import run

from .calls import TOKENS, a_call


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def dense(mix: Mix, row: int, probs: Tensor) -> Tensor:
    """The row's map, from those of all rows [B, H, N, S]."""
    total = torch.zeros_like(probs[row])
    for term in mix.rows[row]:
        part = probs[term.row] @ term.value_map(probs.shape[-1]).to(probs)
        total = total + (part if term.weight is None else part * term.weight.to(part)[:, None])
    return total


def test_every_verb_means_what_it_says_about_the_map() -> None:
    call = a_call()
    probs = (call.q.double() @ call.k.double().mT * 8**-0.5).softmax(-1)
    matrix, gate, factor = draw(TOKENS, TOKENS), draw(TOKENS, seed=1), draw(TOKENS, seed=2) * 3 - 1

    mix = Mix.own(12).read_as(8, 6, matrix, gate)
    wanted = probs[6] @ matrix.double() * gate + probs[8] * (1 - gate)
    torch.testing.assert_close(dense(mix, 8, probs), wanted, atol=1e-6, rtol=1e-6)
    mix = mix.scaled(8, factor)
    torch.testing.assert_close(dense(mix, 8, probs), wanted * factor, atol=1e-6, rtol=1e-6)
    mix = mix.looked_by(8, 7)
    wanted = (probs[6] @ matrix.double() * gate + probs[7] * (1 - gate)) * factor
    torch.testing.assert_close(dense(mix, 8, probs), wanted, atol=1e-6, rtol=1e-6)
    assert mix.rows[9] == Mix.own(12).rows[9] or mix.rows[9][0].row == 9


def test_merging_changes_nothing_but_the_number_of_terms() -> None:
    call = a_call()
    probs = (call.q @ call.k.mT * 8**-0.5).softmax(-1)
    matrix, gate = draw(TOKENS, TOKENS), draw(TOKENS, seed=1)
    mix = (
        Mix.own(12)
        .read_as(8, 6, matrix, gate)
        .read_as(8, 6, matrix, gate)
        .read_as(8, 6, None, gate)
    )
    assert len(mix.rows[8]) == 4
    merged = mix.merged(TOKENS)
    assert [term.row for term in merged.rows[8]] == [6, 8]
    torch.testing.assert_close(dense(merged, 8, probs), dense(mix, 8, probs))


def test_shut_and_open_gates_leave_no_idle_terms() -> None:
    shut, opened = torch.zeros(TOKENS), torch.ones(TOKENS)
    assert Mix.own(12).read_as(8, 6, draw(TOKENS, TOKENS), shut).plain
    assert [t.row for t in Mix.own(12).read_as(8, 6, None, opened).rows[8]] == [6]
    assert Mix.own(12).scaled(8, opened).plain
    assert not Mix.own(12).looked_by(8, 6).plain


def test_the_engine_s_outputs_are_those_of_the_maps() -> None:
    """Also with weights of queries, rows without terms, and untouched rows bit for bit."""
    call = a_call()
    matrix, gate = draw(TOKENS, TOKENS), draw(TOKENS, seed=1)
    mix = Mix.own(12).read_as(8, 6, matrix, gate).scaled(9, draw(TOKENS, seed=3) - 0.5)
    weight = draw(35, seed=4)
    rows = list(mix.rows)
    rows[10] = (Term(6, weight=weight), Term(10, weight=1 - weight))
    rows[11] = ()
    mix = Mix(tuple(rows))

    class Fixed(Control):
        def mix(self, call: Call, own: Mix) -> Mix:
            return mix

    out = run(call, [Fixed()])
    probs = (call.q.double() @ call.k.double().mT * 8**-0.5).softmax(-1)
    wanted = torch.stack([dense(mix, row, probs) @ call.v[row].double() for row in range(12)])
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=1e-5)
    stock = F.scaled_dot_product_attention(call.q, call.k, call.v)
    assert torch.equal(out[:8], stock[:8]) and not torch.equal(out[8], stock[8])
    assert bool((out[11] == 0).all())
