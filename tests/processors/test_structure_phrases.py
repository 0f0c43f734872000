"""Structured diffusion: the values are means over phrases, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Interval, Prompts, Rows, StructurePhrases
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Batch, Role, Row
from attention_studio.processors.control import Context
from attention_studio.processors.prompts import TextBlock, tokenize

from .calls import a_site, a_step
from .conftest import SIDE, Studio, tokenizer
from .test_stock import traces

RED = "a red car, a cat"  # a letter a token: "a red car" is 1 to 7, the comma 8, "a cat" 9 to 12
BATCH = Batch((Row(0, 0, Role.UNCOND), Row(0, 0, Role.COND)))
BLOCKS = (TextBlock("clip", (tokenizer(),), 20),)


def encode(texts: Any) -> Tensor:
    """Each letter's embedding is its id, and the text's length."""
    found = []
    for text in texts:
        ids = tokenize(text, BLOCKS).blocks[0].ids
        row = torch.zeros(20, 2, dtype=torch.float64)
        row[: len(ids), 0], row[:, 1] = torch.tensor(ids).double(), len(text)
        found.append(row)
    return torch.stack(found)


def bound(control: StructurePhrases, *texts: str) -> StructurePhrases | None:
    return control.bind(Prompts(texts, len(texts), 1, BLOCKS, encode))


def context() -> Context:
    both = torch.cat([encode([""]), encode([RED])])
    return Context(both, both)


def test_values_are_the_mean_over_the_phrases() -> None:
    control = bound(StructurePhrases(), RED)
    assert control is not None
    assert [phrase.text for phrase in control.aligned[0]] == ["a red car", "a cat"]
    before = context()
    after = control.context(a_site(), a_step(), BATCH, before)
    assert torch.equal(after.k, before.k)
    assert torch.equal(after.v[0], before.v[0])
    first, second = before.v[1].clone(), before.v[1].clone()
    first[1:8], second[9:13] = encode(["a red car"])[0, 1:8], encode(["a cat"])[0, 1:5]
    torch.testing.assert_close(after.v[1], (before.v[1] + first + second) / 3, atol=1e-12, rtol=0)
    untouched = [0, 8, *range(13, 20)]
    assert torch.equal(after.v[1][untouched], before.v[1][untouched])
    assert torch.equal(context().v, before.v)  # W_0 itself is left as it is


def test_the_mean_of_embeddings_is_the_mean_of_value_sets() -> None:
    control = bound(StructurePhrases(), RED)
    assert control is not None
    given = context()
    project = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    probs = torch.rand(30, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sets = [given.v[1], *(phrase.written(given.v[1]) for phrase in control.aligned[0])]
    wanted = torch.stack([probs @ (rows @ project) for rows in sets]).mean(0)
    found = probs @ (control.context(a_site(), a_step(), BATCH, given).v[1] @ project)
    torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-12)


def test_conjunction_is_the_mean_of_the_maps() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    text, unet = [RED], studio.pipe.unet
    control = StructurePhrases(mode="conjunction")
    with attach(studio.pipe, [control]):
        found = studio(text, num_inference_steps=1)
    stock = dict(unet.attn_processors)
    cond, uncond = studio.pipe.encode_prompt(text, "cpu", 1, True)
    alone = [studio.pipe.encode_prompt([p], "cpu", 1, False)[0] for p in ("a red car", "a cat")]
    sets = [cond.clone() for _ in range(3)]
    sets[1][0, 1:8], sets[2][0, 9:13] = alone[0][0, 1:8], alone[1][0, 1:5]
    every = cond.clone()
    every[0, 1:8], every[0, 9:13] = alone[0][0, 1:8], alone[1][0, 1:5]

    def attend(attn: Any, x: Tensor, encoder_hidden_states: Any = None, **_: Any) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        keys, values = [x], x
        if encoder_hidden_states is not None:
            keys = [torch.cat([uncond, own]) for own in sets]
            values = torch.cat([uncond, every])
        q, v = heads(attn.to_q(x)), heads(attn.to_v(values))
        maps = [(q @ heads(attn.to_k(k)).mT * q.shape[-1] ** -0.5).softmax(-1) for k in keys]
        out = torch.stack(maps).mean(0) @ v
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))

    unet.set_attn_processor(dict.fromkeys(stock, attend))
    wanted = studio(text, num_inference_steps=1)
    unet.set_attn_processor(stock)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize("mode", ["values", "conjunction"])
def test_runs_that_have_nothing_to_structure_are_stock(name: str, mode: Any) -> None:
    studio = Studio(name, SIDE // 2)
    whole = ["cat", "a red car", " a red car "]
    base, before = studio(whole), traces(studio.pipe)
    with attach(studio.pipe, [StructurePhrases(mode=mode)]):
        assert torch.equal(studio(whole), base)
    assert traces(studio.pipe) == before
    base = studio([RED])
    with attach(studio.pipe, [StructurePhrases(mode=mode, during=Interval(0.5, 0.5))]):
        assert torch.equal(studio([RED]), base)
    with attach(studio.pipe, [StructurePhrases(mode=mode)]):
        assert not torch.equal(studio([RED]), base)


def test_other_prompts_and_unconditional_rows_keep_their_bits() -> None:
    studio = Studio("sd")
    texts = ["a cat", RED]
    base = studio(texts, images=2)
    for rows in (Rows.COND, Rows.COND_EDIT):
        with attach(studio.pipe, [StructurePhrases(rows=rows)]):
            out = studio(texts, images=2)
        assert torch.equal(out[:2], base[:2]) and not torch.equal(out[2:], base[2:])


def test_nested_phrases_and_deeper_ones_win() -> None:
    text = "a blue bike in a garden, snow"
    control = bound(StructurePhrases(), text)
    assert control is not None
    phrases = control.aligned[0]
    assert [p.text for p in phrases] == ["a blue bike in a garden", "a blue bike", "a garden"]
    embeds = encode([text])[0]
    for phrase in phrases:
        embeds = phrase.written(embeds)
    assert embeds[1:10, 1].tolist() == [len("a blue bike")] * 9
    assert embeds[10:12, 1].tolist() == [len("a blue bike in a garden")] * 2


def test_phrases_may_be_given() -> None:
    control = bound(StructurePhrases(("red car",)), RED)
    assert control is not None
    (phrase,) = control.aligned[0]
    assert phrase.positions.tolist() == [2, 3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match="'blue car' is not in the prompt"):
        bound(StructurePhrases(("blue car",)), RED)


def test_a_phrase_that_was_cut_off_is_left_out() -> None:
    control = bound(StructurePhrases(), "a red car, a yellow submarine")
    assert control is not None
    assert [phrase.text for phrase in control.aligned[0]] == ["a red car"]


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (StructurePhrases(mode="both"), "mode: came 'both'"),  # type: ignore[arg-type]
        (StructurePhrases(rows=Rows.ALL), "rows: came Rows.ALL"),
        (StructurePhrases(parser="no such model"), "parser: came 'no such model'"),
    ],
)
def test_what_makes_no_sense_is_said(control: StructurePhrases, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bound(control, RED)
