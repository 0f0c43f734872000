"""Edited joint attention, call by call, against all of its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import Call, Control, KeyBias, Kind, Rows, Site, Step
from attention_studio.processors.call import Batch, Role, Row, Segments, Stage
from attention_studio.processors.engine import run
from attention_studio.processors.joint import JointMix
from attention_studio.processors.recorder import Columns, Recorder, Word
from attention_studio.processors.tensors import Given

from .dense_joint import edited, probabilities

GRID, T, REFERENCE = (3, 5), 7, 4
I = 15  # noqa: E741
LAYOUTS = ["text first", "image first"]


def a_call(layout: str, *, dtype: torch.dtype = torch.float32, reference: bool = True) -> Call:
    """[uncond; cond] of a source and two edits; text, image and a few tokens of a reference."""
    draw = torch.Generator().manual_seed(5)
    N = T + I + REFERENCE * reference
    q, k, v = (torch.randn(6, 3, N, 8, generator=draw, dtype=dtype) for _ in range(3))
    text, image = slice(0, T), slice(T, T + I)
    if layout == "image first":
        image, text = slice(0, I), slice(I, I + T)
    parts = Segments(image, text, slice(T + I, N) if reference else None, grid=GRID)
    site = Site("b.0.attn", "flux", Kind.JOINT, Stage.DOUBLE, 0, 1, 8, True, True, 0.0)
    rows = [Row(p, 0, role) for role in (Role.UNCOND, Role.COND) for p in range(3)]
    return Call(Given(q * 2, k, v), site, Step(0, 0, 4, 1.0), Batch(tuple(rows)), parts, parts)


@dataclass(frozen=True, eq=False)
class Edit(Control):
    """What the test says, for row 4, of which row 3 is the source."""

    matrix: Tensor | None = None
    taken: Tensor | None = None
    layout: bool = False
    factor: Tensor | None = None

    def mix(self, call: Call, mix: JointMix) -> JointMix:  # type: ignore[override]
        if self.matrix is not None and self.taken is not None:
            mix = mix.read_as(4, 3, self.matrix, self.taken)
        if self.layout:
            mix = mix.looked_by(4, 3)
        return mix if self.factor is None else mix.scaled(4, self.factor)


def swap() -> Tensor:
    """Rows sum to 1; one source token goes to two, two go to one."""
    matrix = torch.eye(T)
    matrix[1] = 0
    matrix[1, [1, 2]] = 0.5
    matrix[2], matrix[3], matrix[4] = torch.eye(T)[3], torch.eye(T)[3], torch.eye(T)[5]
    return matrix


SOME = torch.tensor([1.0, 1, 1, 0, 0, 1, 0])
ALL = torch.ones(T)
WEIGHTS = torch.tensor([1.0, 3, 1, 0.2, 1, 1, 2])
HIDES = torch.tensor([1.0, 0, 1, 0, 1, 1, 2])
CASES: dict[str, dict[str, Any]] = {
    "some": {"matrix": swap(), "taken": SOME},
    "all": {"matrix": swap(), "taken": ALL},
    "identity": {"matrix": torch.eye(T), "taken": ALL},
    "layout": {"layout": True},
    "layout and some": {"matrix": swap(), "taken": SOME, "layout": True},
    "layout and all": {"matrix": swap(), "taken": ALL, "layout": True},
    "weights": {"factor": WEIGHTS},
    "hides": {"factor": HIDES},
    "some, weights": {"matrix": swap(), "taken": SOME, "factor": WEIGHTS},
    "some, hides": {"matrix": swap(), "taken": SOME, "factor": HIDES},
    "layout, all, weights": {"matrix": swap(), "taken": ALL, "layout": True, "factor": WEIGHTS},
    "more than there was": {"matrix": swap() * 3, "taken": ALL},
}


def dense(call: Call, case: dict[str, Any], bias: Tensor | None = None) -> Tensor:
    """[B, H, N, S] fp64."""
    probs = probabilities(call.q.double(), call.k.double(), bias)
    image, text = call.queries.image, call.keys.text
    assert image is not None and text is not None
    matrix = case.get("matrix")
    given = case | {"matrix": None if matrix is None else matrix * case["taken"]}
    probs[4] = edited(probs[3], probs[4], image, text, **given)
    return probs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_it_equals_all_probabilities(
    case: str, layout: str, dtype: torch.dtype, error: float
) -> None:
    call = a_call(layout, dtype=dtype)
    wanted = dense(call, CASES[case]) @ call.v.double()
    out = run(call, [Edit(**CASES[case])])
    torch.testing.assert_close(out.double(), wanted, atol=error, rtol=error)
    stock = F.scaled_dot_product_attention(call.q, call.k, call.v)
    others = [0, 1, 2, 3, 5]
    if dtype is torch.float32:  # in fp64 torch rounds the scale in another place
        assert torch.equal(out[others], stock[others])
    if case != "identity":
        assert float((out[4] - stock[4]).abs().max()) > 1e-2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_image_rows_stay_normalised_and_text_rows_their_own(layout: str) -> None:
    call = a_call(layout)
    ones = Call(
        Given(call.q, call.k, torch.ones_like(call.v)),
        *(call.site, call.step, call.batch, call.queries, call.keys),
    )
    for case in CASES.values():
        torch.testing.assert_close(run(ones, [Edit(**case)]), ones.v, atol=1e-5, rtol=0)
        own = run(call, [Edit(**case)])[4][:, call.queries.text]
        stock = F.scaled_dot_product_attention(call.q, call.k, call.v)[4][:, call.queries.text]
        torch.testing.assert_close(own, stock, atol=1e-6, rtol=1e-6)


@dataclass(frozen=True, eq=False)
class Read(Control):
    """Two words of the edit, one of them of two tokens, and one of the source."""

    edited: bool = True

    def record(self, site: Site, step: Step) -> Columns:
        words = (Word(1, "cat", (2, 3)), Word(1, "grass", (5,)), Word(0, "cat", (1, 2)))
        return Columns(words, self.edited)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shown", [True, False])
def test_maps_are_the_columns_that_acted(case: str, layout: str, shown: bool) -> None:
    call, reader, recorder = a_call(layout), Read(shown), Recorder()
    edit = Edit(**CASES[case])
    out = run(call, [edit, reader], recorder)
    assert torch.equal(out, run(call, [edit]))
    probs = dense(call, CASES[case] if shown else {})
    maps = recorder.maps(reader)
    for prompt, word, tokens in ((1, "cat", (2, 3)), (1, "grass", (5,)), (0, "cat", (1, 2))):
        row = probs[3 + prompt].mean(0)[call.queries.image]
        column = row[:, call.keys.text][:, list(tokens)].sum(-1).view(GRID)
        found = maps.get(word, prompt=prompt)
        torch.testing.assert_close(found.double(), column, atol=2e-6, rtol=1e-5)


def masked(call: Call, *, queries: bool) -> Tensor:
    """The model's own mask: padding of each row, or of pairs."""
    N = call.shape[2]
    bias = torch.zeros(6, 1, N if queries else 1, N)
    text = call.keys.text
    assert text is not None
    for row, hidden in enumerate((3, 1, 0, 2, 1, 3)):
        bias[row, :, :, text.stop - hidden : text.stop] = -torch.inf
    if queries:
        bias[..., 0::3, text.start] = -torch.inf
    return bias


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("queries", [False, True])
def test_padding_of_source_and_edit_stays_hidden(case: str, queries: bool) -> None:
    """A token that the edit's own mask hides is taken from nobody, one of the source gives none."""
    plain = a_call("text first")
    bias = masked(plain, queries=queries)
    call = Call(
        *(plain.tensors, plain.site, plain.step, plain.batch, plain.queries, plain.keys),
        bias=bias,
    )
    wanted = dense(call, CASES[case], bias.double()) @ call.v.double()
    out = run(call, [Edit(**CASES[case])])
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=1e-5)


def test_limits_of_controls_hold_in_edited_rows() -> None:
    """A bias of the edits only: kept columns have it, taken ones are the source's."""
    call = a_call("text first", reference=False)
    keys = torch.linspace(-1, 1, T + I)

    class Limit(Control):
        def bias(self, call: Call) -> KeyBias:
            return KeyBias(keys)

    bias = torch.zeros(6, 1, 1, T + I, dtype=torch.float64)
    bias[4:] = keys.double()
    case = CASES["some"]
    wanted = dense(call, case, bias) @ call.v.double()
    out = run(call, [Edit(**case), Limit(rows=Rows.COND_EDIT)])
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=1e-5)


def edits(call: Call, controls: Sequence[Control]) -> Tensor:
    return run(call, controls)


class Zero(Control):
    def attend(self, call: Call) -> Tensor | None:
        return torch.zeros_like(call.q)


class Halve(Control):
    def edit(self, probs: Tensor, call: Call) -> Tensor:
        return probs * 0.5


def test_what_has_no_meaning_is_refused() -> None:
    call, edit = a_call("text first"), Edit(layout=True)
    assert bool((edits(call, [Zero()]) == 0).all())
    for controls, sentence in (
        ([Zero(), edit], "Zero replaces .* its maps cannot be edited"),
        ([Halve()], "Halve edits all probabilities, which are not formed in the joint"),
        ([Edit(factor=-ALL)], r"weights: came -1.0; in joint attention rows stay normalised"),
        ([Edit(matrix=swap(), taken=ALL / 2)], "gate: joint attention takes a column whole"),
    ):
        with pytest.raises(ValueError, match=sentence):
            edits(call, controls)


def test_gradients_reach_queries_and_keys() -> None:
    """Objectives differentiate through edited rows too."""
    call = a_call("text first", dtype=torch.float64)
    q, k, v = (x.clone().requires_grad_() for x in (call.q, call.k, call.v))
    given = Call(Given(q, k, v), call.site, call.step, call.batch, call.queries, call.keys)
    weights = torch.randn(6, 3, T + I + REFERENCE, 8, dtype=torch.float64)
    case = CASES["some, weights"]
    fast = torch.autograd.grad((run(given, [Edit(**case)]) * weights).sum(), (q, k, v))
    whole = probabilities(q, k, None)
    rows = [*whole]
    rows[4] = edited(
        whole[3], whole[4], call.queries.image, call.keys.text,
        **{**case, "matrix": case["matrix"] * case["taken"]},
    )  # fmt: skip
    slow = torch.autograd.grad((torch.stack(rows) @ v * weights).sum(), (q, k, v))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
