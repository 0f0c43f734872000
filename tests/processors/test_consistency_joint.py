"""What queries see by label where image and text share one softmax, against whole tables."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import (
    AlignStyle,
    Control,
    FollowSource,
    IsolateSubjects,
    KeepLayout,
    ReadSubjectPrompts,
    RecordMaps,
    RepositionSubjects,
    ReweightWords,
    engine,
)
from attention_studio.processors.call import Call, Kind, Segments
from attention_studio.processors.control import Prompts
from attention_studio.processors.controls.subjects import label_map
from attention_studio.processors.mask import Mask, Window
from attention_studio.processors.prompts import TextBlock
from attention_studio.processors.recorder import Recorder

from .calls import GRID, TOKENS, a_call
from .conftest import tokenizer
from .test_consistency import (
    LEFT,
    RIGHT,
    SEAT_A,
    SIZE,
    TWO,
    at,
    call_of,
    close,
    gates,
    plain,
    scene,
)

TEXT_FIRST = (slice(0, TOKENS), slice(TOKENS, TOKENS + SIZE))
IMAGE_FIRST = (slice(SIZE, SIZE + TOKENS), slice(0, SIZE))
PROMPTS = Prompts(("ab", "cd", "ab cd"), 3, 1, (TextBlock("clip", (tokenizer(),), TOKENS),))


def joint(places: tuple[slice, slice], seed: int = 0) -> Call:
    call = a_call(Kind.JOINT, prompts=3, images=1, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(6, 3, SIZE + TOKENS, 8, generator=draw).double() * 2 for _ in range(3))
    text, image = places
    segments = Segments(image, text, grid=GRID)
    return replace(call.with_tokens(q, k, v), queries=segments, keys=segments)


def run(call: Call, *controls: Control, recorder: Recorder | None = None) -> Tensor:
    bound = [b for c in controls if (b := c.bind(PROMPTS)) is not None]
    return engine.run(call, [c for c in bound if c.acts(call.site, call.step)], recorder)


def apart(image: slice) -> Tensor:
    """[S, S] bool: pairs of two subjects."""
    labels = torch.zeros(SIZE + TOKENS, dtype=torch.int64)
    labels[image] = label_map([at(LEFT), at(RIGHT)], "drop").flatten()
    return (labels[:, None] > 0) & (labels > 0) & (labels[:, None] != labels)


@pytest.mark.parametrize("places", [TEXT_FIRST, IMAGE_FIRST])
def test_image_queries_see_by_label_and_text_queries_all(places: tuple[slice, slice]) -> None:
    text, image = places
    call, row = joint(places), scene(joint(places))[1]
    control = RepositionSubjects(TWO, dropout=0.5, move=False, bonus=0.5)
    found = run(call, IsolateSubjects(TWO), control)
    q, k, v = call.q[row], call.k[row], call.v[row]
    logits = (q @ k.mT * 8**-0.5).masked_fill(apart(image), -torch.inf)
    keys, weights = [v], [logits]
    labels = label_map([at(LEFT), at(RIGHT)], "drop").flatten()
    for i, gate in enumerate(gates(control, call)):
        seat = at(TWO[i].seat).flatten()
        there = call.k[3 + i][:, image][:, seat]
        asks = torch.zeros(SIZE + TOKENS).bool()
        asks[image] = (labels == i + 1) & gate
        weights.append((q @ there.mT * 8**-0.5 + 0.5).masked_fill(~asks[:, None], -torch.inf))
        keys.append(call.v[3 + i][:, image][:, seat])
    wanted = torch.cat(weights, -1).softmax(-1) @ torch.cat(keys, 1)
    close(found[row], wanted, 1e-6)
    close(found[row][:, text], plain(call)[row][:, text])
    assert torch.equal(found[:2], plain(call)[:2])


def test_portraits_prompts_are_seen_beside_the_scene_s() -> None:
    text, image = TEXT_FIRST
    call, row = joint(TEXT_FIRST), scene(joint(TEXT_FIRST))[1]
    found = run(call, ReadSubjectPrompts(TWO, 0.75))
    q, own = call.q[row][:, image], at(RIGHT).flatten()
    k = torch.cat([call.k[row], call.k[4][:, text]], 1)
    v = torch.cat([call.v[row], call.v[4][:, text]], 1)
    bias = torch.zeros(k.shape[1]).double()
    bias[-TOKENS:] = log(3)
    wanted = (q @ k.mT * 8**-0.5 + bias).softmax(-1) @ v
    close(found[row][:, image][:, own], wanted[:, own], 1e-6)
    with pytest.raises(ValueError, match=r"strength: came 1; in joint attention"):
        run(call, ReadSubjectPrompts(TWO, 1.0))


def test_words_are_weighed_and_read_where_queries_see_by_label() -> None:
    text, image = TEXT_FIRST
    call, row = joint(TEXT_FIRST), scene(joint(TEXT_FIRST))[1]
    weights, words = ReweightWords({"cd": 3.0}), RecordMaps(("cd",))
    bound, recorder = words.bind(PROMPTS), Recorder()
    assert bound is not None
    controls = [c for c in (IsolateSubjects(TWO).bind(PROMPTS), weights.bind(PROMPTS), bound) if c]
    found = engine.run(call, controls, recorder)
    tokens = list(PROMPTS.tokenized("it")[2].find("cd").indices)
    logits = call.q[row] @ call.k[row].mT * 8**-0.5
    logits = logits.masked_fill(apart(image), -torch.inf)
    logits[:, image, [text.start + t for t in tokens]] += log(3)
    probs = logits.softmax(-1)
    close(found[row], probs @ call.v[row], 1e-6)
    heat = recorder.maps(bound).get("cd", prompt=2)
    wanted = probs.mean(0)[image][:, [text.start + t for t in tokens]].sum(1)
    close(heat.flatten().double(), wanted, 1e-6)


def test_columns_of_a_source_are_refused_there() -> None:
    message = "KeepLayout edits the attention of up.0.attn, where IsolateSubjects says which keys"
    with pytest.raises(ValueError, match=message):
        run(joint(TEXT_FIRST), IsolateSubjects(TWO), KeepLayout())


def test_discs_hold_for_own_keys() -> None:
    """A window beside it: own keys of a disc that isolation leaves, and the portrait."""

    class Discs(Control):
        def mask(self, call: Call) -> Mask:
            return Mask.of(Window(2.5))

    call, row = joint(TEXT_FIRST), scene(joint(TEXT_FIRST))[1]
    found = run(call, IsolateSubjects(TWO), Discs())
    allowed = Window(2.5).allowed(call) & ~apart(TEXT_FIRST[1])
    logits = call.q[row] @ call.k[row].mT * 8**-0.5
    close(found[row], logits.masked_fill(~allowed, -torch.inf).softmax(-1) @ call.v[row], 1e-6)


def test_the_layout_of_a_source_may_be_looked_at_by_label() -> None:
    call = a_call(Kind.SELF, prompts=3, images=1)
    controls = [KeepLayout().bind(PROMPTS), IsolateSubjects(TWO).bind(PROMPTS)]
    found, row = engine.run(call, [c for c in controls if c]), scene(call)[1]
    apart_ = apart(slice(0, SIZE))[:SIZE, :SIZE]
    logits = call.q[3] @ call.k[3].mT * 8**-0.5
    close(found[row], logits.masked_fill(apart_, -torch.inf).softmax(-1) @ call.v[row], 1e-5)


def test_style_is_taken_from_the_first_picture() -> None:
    call = call_of()
    found = run(call, AlignStyle(scale=0.5, bonus=0.3))
    assert torch.equal(found[[0, 3]], plain(call)[[0, 3]])

    def aligned(x: Tensor, like: Tensor) -> Tensor:
        deviation, wanted = ((y.var(1, keepdim=True) + 1e-5).sqrt() for y in (x, like))
        return (x - x.mean(1, keepdim=True)) / deviation * wanted + like.mean(1, keepdim=True)

    for row, source in ((1, 0), (4, 3), (5, 3)):
        q, k = (aligned(x[row], x[source]) for x in (call.q, call.k))
        close(k.mean(1), call.k[source].mean(1), 1e-5)
        logits = torch.cat([q @ k.mT * 8**-0.5, q @ call.k[source].mT * 8**-0.5 * 0.5 + 0.3], -1)
        wanted = logits.softmax(-1) @ torch.cat([call.v[row], call.v[source]], 1)
        close(found[row], wanted, 1e-5)
    far = run(call, AlignStyle(bonus=-1e4))
    close(far, run(call, AlignStyle(share=False)), 1e-6)


def test_an_edit_reads_the_source_s_picture() -> None:
    call, before = a_call(Kind.SELF, prompts=3, images=1), FollowSource()
    found = engine.run(call, [before.bind(PROMPTS)])
    for row, source in ((1, 0), (2, 0), (4, 3), (5, 3)):
        q, k, v = call.q[row], call.k[source], call.v[source]
        close(found[row], F.scaled_dot_product_attention(q[None], k[None], v[None])[0], 1e-6)
    assert torch.equal(found[[0, 3]], plain(call)[[0, 3]])
    masked = engine.run(call, [FollowSource(thing=(SEAT_A, LEFT)).bind(PROMPTS)])
    there, here, row = at(SEAT_A).flatten(), at(LEFT).flatten(), 5
    for part, keys in ((here, there), (~here, ~there)):
        logits = call.q[row][:, part] @ call.k[3][:, keys].mT * 8**-0.5
        close(masked[row][:, part], logits.softmax(-1) @ call.v[3][:, keys], 1e-5)
    full = (0.0, 0.0, 1.0, 1.0)
    close(engine.run(call, [FollowSource(thing=(full, full)).bind(PROMPTS)]), found, 1e-6)
    none = FollowSource(thing=(torch.zeros(5, 7), full)).bind(PROMPTS)  # nothing to read from
    assert bool(engine.run(call, [none]).isfinite().all())
