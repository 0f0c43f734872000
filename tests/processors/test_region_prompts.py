"""Region prompts: inside a region its prompt is read, outside the picture's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import (
    Interval,
    Prompts,
    RecordMaps,
    RegionPrompts,
    ReplaceWords,
    ReweightWords,
    Rows,
    Segregate,
    StructurePhrases,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.controls.regions import covered
from attention_studio.processors.prompts import TextBlock

from .conftest import Studio, tokenizer
from .test_stock import traces

TEXT = ["a cat on grass"]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
OTHER = "a red car"


def run(studio: Studio, *controls: Any, **more: Any) -> Tensor:
    with attach(studio.pipe, list(controls)):
        return studio(TEXT, **more)


def by_hand(studio: Studio, regions: list[tuple[Any, str]], base: float) -> Tensor:
    """Each query's softmax over the keys it may see, from whole tables."""
    pipe, unet = studio.pipe, studio.pipe.unet
    cond, uncond = pipe.encode_prompt(TEXT, "cpu", 1, True)
    texts = [pipe.encode_prompt([text], "cpu", 1, False)[0] for _, text in regions]
    keys = torch.cat([cond, *texts], 1)
    grids = {256: (16, 16), 64: (8, 8)}

    def attend(attn: Any, x: Tensor, encoder_hidden_states: Any = None, **_: Any) -> Tensor:
        def attention(x: Tensor, context: Tensor, bias: Tensor | float = 0.0) -> Tensor:
            q, k, v = (
                y.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
                for y in (attn.to_q(x), attn.to_k(context), attn.to_v(context))
            )
            out = (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v
            return out.transpose(1, 2).flatten(2)

        if encoder_hidden_states is None:
            out = attention(x, x)
        else:
            inside = [covered(where, grids[x.shape[1]], "").flatten() for where, _ in regions]
            held = torch.stack(inside).any(0)
            weights = [torch.where(held, base, 1.0), *(i.double() for i in inside)]
            bias = torch.stack(weights, 1).log().repeat_interleave(77, 1)
            out = torch.cat([attention(x[:1], uncond), attention(x[1:], keys, bias)])
        return attn.to_out[1](attn.to_out[0](out))

    stock = dict(unet.attn_processors)
    unet.set_attn_processor(dict.fromkeys(stock, attend))
    found = studio(TEXT)
    unet.set_attn_processor(stock)
    return found


@pytest.mark.parametrize("base", [0.0, 0.2, 1.0])
def test_it_equals_whole_tables(base: float) -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    regions = [((0.0, 0.0, 0.5, 0.5), OTHER), ((0.25, 0.25, 1.0, 0.75), "snow")]
    found = run(studio, RegionPrompts(tuple(regions), base))
    torch.testing.assert_close(found, by_hand(studio, regions, base), atol=1e-6, rtol=1e-6)


def test_a_region_of_the_whole_picture_is_the_other_prompt() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    wanted = studio([OTHER])
    halves = RegionPrompts(((LEFT, OTHER), (RIGHT, OTHER)), base=0.0)
    torch.testing.assert_close(run(studio, halves), wanted, atol=1e-6, rtol=1e-6)
    same = RegionPrompts(((LEFT, TEXT[0]),), base=0.5)  # the picture's own prompt again
    torch.testing.assert_close(run(studio, same), studio(TEXT), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd-controlnet"])
def test_stock_before_and_after(name: str) -> None:
    studio = Studio(name)
    base, before = studio(TEXT), traces(studio.pipe)
    never = RegionPrompts(((LEFT, OTHER),), during=Interval(0.5, 0.5))
    assert torch.equal(run(studio, RegionPrompts(), never), base)
    assert not torch.equal(run(studio, RegionPrompts(((LEFT, OTHER),))), base)
    assert traces(studio.pipe) == before and torch.equal(studio(TEXT), base)


def test_a_painted_mask_is_a_box_of_its_shape() -> None:
    studio = Studio("sd")
    painted = torch.zeros(32, 32)
    painted[:, :16] = 1
    box, mask = (RegionPrompts(((where, OTHER),)) for where in (LEFT, painted))
    assert torch.equal(run(studio, box), run(studio, mask))
    with pytest.raises(ValueError, match=r"a mask of 32 x 32; expected the shape of the picture"):
        run(studio, mask, height=32, width=64)


def test_a_word_s_region_is_where_it_was_looked_at() -> None:
    studio = Studio("sd")
    base = studio(TEXT, images=2)
    late = RegionPrompts((("cat", OTHER),), looks=1.0)  # its place is known after the last step
    torch.testing.assert_close(run(studio, late, images=2), base, atol=1e-5, rtol=1e-5)
    soon = RegionPrompts((("cat", OTHER),), looks=0.3)
    found = run(studio, soon, images=2)
    assert not torch.allclose(found, base, atol=1e-3)
    alone = run(studio, soon)
    torch.testing.assert_close(found[:1], alone, atol=1e-5, rtol=1e-5)


def test_it_goes_with_what_reads_maps_and_moves_latents() -> None:
    studio = Studio("sd")
    regions = RegionPrompts(((LEFT, OTHER),), base=0.0)
    with attach(studio.pipe, [regions, RecordMaps(("cat",)), Segregate(("cat", "grass"))]) as seen:
        studio(TEXT)
    heat = seen.maps.get("cat")
    assert not bool(heat[:, :8].any()) and bool((heat[:, 8:] > 0).all())
    plain = run(studio, regions)
    weighed = run(studio, regions, ReweightWords({"grass": 3.0}, rows=Rows.COND))
    structured = run(studio, regions, StructurePhrases(("on grass",)))
    assert not torch.equal(weighed, plain) and not torch.equal(structured, plain)
    either = run(studio, StructurePhrases(("on grass",)), regions)
    torch.testing.assert_close(either, structured, atol=1e-5, rtol=1e-5)
    with (
        attach(studio.pipe, [regions, ReplaceWords()]),
        pytest.raises(
            ValueError, match="over 77 text keys came with a control that reads 154 of them"
        ),
    ):
        studio()
    conjunction = StructurePhrases(("on grass",), mode="conjunction")
    with pytest.raises(ValueError, match="adds text keys, such as region_prompts"):
        run(studio, conjunction, regions)
    with pytest.raises(ValueError, match="adds text keys"):
        run(studio, regions, conjunction)


def test_one_control_has_all_regions() -> None:
    regions = RegionPrompts(((LEFT, OTHER),))
    with pytest.raises(ValueError, match="expected one of them, with all regions"):
        run(Studio("sd"), regions, regions)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (RegionPrompts(((LEFT, OTHER),), base=2.0), "base, looks: came 2.0"),
        (RegionPrompts((((0.5, 0, 0.2, 1), OTHER),)), "regions: that of 'a red car' came as"),
        (RegionPrompts((("dog", OTHER),)), "'dog' is not in the prompt"),
        (RegionPrompts(((LEFT, "x" * 90),)), "is longer than the text encoder reads; lost: xxx"),
    ],
)
def test_what_makes_no_sense_is_said(control: RegionPrompts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(Studio("sd"), control)


def test_without_a_pipeline_there_is_nobody_to_encode() -> None:
    given = Prompts(("a b",), 1, 1, (TextBlock("clip", (tokenizer(),), 77),))
    with pytest.raises(ValueError, match="no pipeline is there to encode"):
        RegionPrompts(((LEFT, OTHER),)).bind(given)
