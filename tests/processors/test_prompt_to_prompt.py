"""The whole method against the oracle that forms every map, and its exact laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import (
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.prompts import TextBlock, tokenize
from attention_studio.processors.prompts.align import refinement_map, replacement_map

from .conftest import PROMPTS, SIDE, Studio, tokenizer
from .dense import Dense, Plan

LENGTH = 77
SWAP = ["a cat on grass", "a tiger on grass", "a dog on grass"]
REFINE = ["a cat on grass", "a red cat on grass", "a cat on wet grass"]


def oracle(studio: Studio, plan: Plan, prompts: Sequence[str], **call: Any) -> Tensor:
    """The pipeline with the dense processor at every site."""

    def stepped(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        plan.step = step + 1
        return {}

    stock = dict(studio.pipe.unet.attn_processors)
    studio.pipe.unet.set_attn_processor({name: Dense(plan) for name in stock})
    try:
        return studio(list(prompts), images=plan.images, callback_on_step_end=stepped, **call)
    finally:
        studio.pipe.unet.set_attn_processor(stock)


def tokens(text: str, word: str) -> list[int]:
    return list(tokenize(text, (TextBlock("clip", (tokenizer(),), LENGTH),)).find(word).indices)


def texts(prompts: Sequence[str]) -> list[Any]:
    return [tokenize(text, (TextBlock("clip", (tokenizer(),), LENGTH),)) for text in prompts]


def gates(steps: int, edits: int, end: float) -> Tensor:
    gate = torch.zeros(steps, edits, LENGTH)
    gate[: int(end * (steps + 1))] = 1
    return gate


def case_replace(steps: int) -> tuple[list[str], list[Control], dict[str, Any]]:
    source, *edits = texts(SWAP)
    plan = {
        "token_map": torch.stack([replacement_map(source, edit) for edit in edits]),
        "gate": gates(steps, 2, 0.5),
    }
    return SWAP, [ReplaceWords(Interval(0, 0.5))], plan


def case_word_gates(steps: int) -> tuple[list[str], list[Control], dict[str, Any]]:
    prompts, _, plan = case_replace(steps)
    plan["gate"] = gates(steps, 2, 1.0)
    plan["gate"][2:, 0, tokens(SWAP[1], "tiger")] = 0
    plan["gate"][:, 1, tokens(SWAP[2], "dog")] = 0
    plan["gate"][:, 0, tokens(SWAP[1], "grass")] = 0
    plan["gate"][:, 1, tokens(SWAP[2], "grass")] = 0
    words = {
        "tiger": Interval(0, 2 / steps),
        "dog": Interval(0, 0),
        "grass": Interval(0, 0),
    }
    return prompts, [ReplaceWords(Interval(0, 1), words)], plan


def case_refine(steps: int) -> tuple[list[str], list[Control], dict[str, Any]]:
    source, *edits = texts(REFINE)
    maps, aligned = zip(*[refinement_map(source, edit) for edit in edits], strict=True)
    plan = {
        "token_map": torch.stack(maps),
        "aligned": torch.stack(aligned),
        "gate": gates(steps, 2, 0.8),
    }
    return REFINE, [RefineWords(Interval(0, 0.8))], plan


def case_all(steps: int) -> tuple[list[str], list[Control], dict[str, Any]]:
    """Refine, then re-weight with a negative weight, and the source's layout."""
    prompts, controls, plan = case_refine(steps)
    weight = torch.ones(2, LENGTH)
    weight[0, tokens(REFINE[1], "red")] = 3.0
    weight[1, tokens(REFINE[2], "wet")] = -1.0
    plan |= {"weight": weight, "layout": range(2)}
    controls += [ReweightWords({"red": 3.0, "wet": -1.0}), KeepLayout(Interval(0, 0.5))]
    return prompts, controls, plan


Case = Callable[[int], tuple[list[str], list[Control], dict[str, Any]]]


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd2-v", "sd-inpaint-9"])
@pytest.mark.parametrize("case", [case_replace, case_word_gates, case_refine, case_all])
def test_mixes_equal_the_dense_method(name: str, case: Case) -> None:
    """fp64, four steps: what is left is rounding, so the algebra is the paper's."""
    studio, steps = Studio(name, SIDE // 2), 4
    studio.pipe.to(torch.float64)
    prompts, controls, plan = case(steps)
    call = {"num_inference_steps": steps}
    wanted = oracle(studio, Plan(guided=True, **plan), prompts, **call)
    with attach(studio.pipe, controls):
        out = studio(prompts, **call)
    base = studio(prompts, **call)
    assert float((base - wanted).abs().max()) > 1e-4
    torch.testing.assert_close(out, wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("guidance", "images"), [(2.0, 1), (2.0, 2), (1.0, 2)])
def test_mixes_equal_the_dense_method_in_fp32(guidance: float, images: int) -> None:
    """Guidance of 5 would blow the two softmaxes' own rounding up to 1.5e-5."""
    studio, steps = Studio("sd"), 4
    prompts, controls, plan = case_all(steps)
    words = tuple((p, tuple(tokens(prompts[p], "grass"))) for p in range(3))
    dense = Plan(guided=guidance > 1, images=images, words=words, **plan)
    call = {"num_inference_steps": steps, "guidance": guidance}
    wanted = oracle(studio, dense, prompts, **call)
    reader = RecordMaps(("grass",), every_grid=True)
    with attach(studio.pipe, [*controls, reader]) as run:
        out = studio(prompts, images=images, **call)
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)
    for prompt in range(3):
        for image in range(images):
            for grid in run.maps.grids:
                found = run.maps.get("grass", prompt=prompt, image=image, grid=grid)
                same = [m for m in dense.maps[prompt, image] if m.numel() == found.numel()]
                torch.testing.assert_close(
                    found.flatten(), torch.stack(same).mean(0), atol=1e-5, rtol=1e-5
                )


def test_weight_one_over_a_swap_is_the_swap() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [ReplaceWords()]):
        swap = studio()
    with attach(studio.pipe, [ReplaceWords(), ReweightWords({"tiger": 1.0, "grass": 1.0})]):
        assert torch.equal(studio(), swap)


def test_a_batch_of_three_gives_each_edit_what_a_batch_of_two_gives() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    with attach(studio.pipe, [ReplaceWords(), KeepLayout()]):
        three, two = studio(SWAP), studio([SWAP[0], SWAP[2]])
    torch.testing.assert_close(three[[0, 2]], two, atol=1e-10, rtol=1e-10)


def test_all_maps_of_the_source_do_not_make_the_source() -> None:
    """Values stay the edit's own."""
    studio = Studio("sd")
    with attach(studio.pipe, [ReplaceWords(Interval()), KeepLayout(Interval())]):
        out = studio()
    assert float((out[0] - out[1]).abs().max()) > 1e-4


@pytest.mark.parametrize("official", ["exact", "official"])
def test_alignments_agree_where_token_counts_do(official: Any) -> None:
    studio, prompts = Studio("sd"), ["a cat on grass", "a dog on grass"]
    with attach(studio.pipe, [ReplaceWords()]):
        exact = studio(prompts)
    with attach(studio.pipe, [ReplaceWords(align=official)]):
        assert torch.equal(studio(prompts), exact)


def test_a_given_token_map_needs_no_words() -> None:
    studio = Studio("sd")
    source, edit = texts(PROMPTS)
    with attach(studio.pipe, [ReplaceWords()]):
        wanted = studio()
    token_map = replacement_map(source, edit)[None]
    with attach(studio.pipe, [ReplaceWords(token_map=token_map)]):
        assert torch.equal(studio(), wanted)


def test_blending_keeps_the_source_outside_and_the_edit_inside() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [ReplaceWords()]):
        edit = studio()
    for threshold, wanted in ((2.0, edit[[0, 0]]), (-1.0, edit)):  # nowhere, everywhere
        blend = LocalBlend(("cat", "tiger"), threshold=threshold, during=Interval())
        with attach(studio.pipe, [ReplaceWords(), blend]):
            assert torch.equal(studio(), wanted)
    blend = LocalBlend(("cat", "tiger"), threshold=0.97, during=Interval())
    with attach(studio.pipe, [ReplaceWords(), blend]):
        partly = studio()
    kept = (partly[1] == partly[0]).all(0)
    assert 0 < int(kept.sum()) < kept.numel()


def test_subtracted_words_take_their_places_away() -> None:
    studio = Studio("sd")
    blend = LocalBlend(
        ("cat", "tiger"),
        ("grass", "grass"),
        threshold=-1.0,
        subtract_threshold=-1.0,
        during=Interval(),
    )
    with attach(studio.pipe, [ReplaceWords(), blend]):
        out = studio()
    assert torch.equal(out[0], out[1])
