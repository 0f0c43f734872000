"""Whole runs of every joint-attention family against the oracle that forms every map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from attention_studio.processors import (
    Control,
    Interval,
    KeepLayout,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.families import family_of
from attention_studio.processors.prompts import tokenize
from attention_studio.processors.prompts.align import refinement_map, replacement_map

from .dense_joint import Oracle
from .joint_pipelines import JOINT, PROMPTS, JointStudio

REFINE = ["a cat on grass", "a red cat on grass"]


@pytest.fixture(params=JOINT)
def studio(request: pytest.FixtureRequest) -> JointStudio:
    return JointStudio(request.param)


def plan(studio: JointStudio, prompts: list[str], steps: int) -> dict[str, Any]:
    """What the oracle must know: tokens and their maps, by the family's own tokenizers."""
    pipe, family = studio.pipe, family_of(studio.pipe)
    transformer = pipe.transformer
    asked = {"prompt": prompts, "device": "cpu", "num_images_per_prompt": 1}
    if studio.name != "qwen":
        asked |= {"max_sequence_length": 24}
    if studio.name.startswith("sd3"):
        asked |= {"prompt_2": None, "prompt_3": None, "do_classifier_free_guidance": False}
    length = pipe.encode_prompt(**asked)[0].shape[1]
    texts = [tokenize(text, family.blocks(pipe, length), length) for text in prompts]
    kinds = [site.has_text for _, site in family.sites(transformer)]
    gate = torch.zeros(steps, len(prompts) - 1, length)
    gate[: steps // 2] = 1
    return {
        "texts": texts,
        "gate": gate,
        "kinds": kinds,
        "size": 64,
        "text_first": not studio.name.startswith("sd3"),
        "doubled": studio.name.startswith("sd3"),
    }


def case_swap(made: dict[str, Any], steps: int) -> tuple[list[Control], dict[str, Any]]:
    source, *edits = made["texts"]
    maps = torch.stack([replacement_map(source, edit) for edit in edits])
    return [ReplaceWords(Interval(0, 0.5))], {"token_map": maps, "gate": made["gate"]}


def case_layout(made: dict[str, Any], steps: int) -> tuple[list[Control], dict[str, Any]]:
    return [KeepLayout(Interval(0, 0.5))], {"layout": range(steps // 2)}


def case_all(made: dict[str, Any], steps: int) -> tuple[list[Control], dict[str, Any]]:
    source, *edits = made["texts"]
    pairs = [refinement_map(source, edit) for edit in edits]
    maps, aligned = (torch.stack(part) for part in zip(*pairs, strict=True))
    weight = torch.ones(len(edits), made["gate"].shape[-1])
    for e, edit in enumerate(edits):
        weight[e, list(edit.find("red").indices)] = 3.0
        weight[e, list(edit.find("grass").indices)] = 0.5
    given = {"token_map": maps, "aligned": aligned, "weight": weight, "gate": made["gate"]}
    controls = [
        RefineWords(Interval(0, 0.5)),
        ReweightWords({"red": 3.0, "grass": 0.5}),
        KeepLayout(Interval(0, 0.5)),
    ]
    return controls, given | {"layout": range(steps // 2)}


Case = Callable[[dict[str, Any], int], tuple[list[Control], dict[str, Any]]]


@pytest.mark.parametrize(
    ("case", "prompts"),
    [(case_swap, PROMPTS), (case_layout, PROMPTS), (case_all, REFINE)],
    ids=["swap", "layout", "all"],
)
def test_edits_equal_the_dense_method(studio: JointStudio, case: Case, prompts: list[str]) -> None:
    """fp64, four steps of which two are edited: what is left is rounding."""
    steps = 4
    studio.pipe.to(torch.float64)
    made = plan(studio, prompts, steps)
    controls, given = case(made, steps)
    del made["texts"], made["gate"]
    words = ((1, tuple(tokens(studio, prompts, "grass"))),)
    oracle = Oracle(**made, guided=True, words=words, **given)
    call = {"num_inference_steps": steps}
    with oracle.on(studio.pipe.transformer):
        wanted = studio(prompts, **call)
    with attach(studio.pipe, [*controls, RecordMaps(("grass",))]) as run:
        out = studio(prompts, **call)
    base = studio(prompts, **call)
    assert float((base - wanted).abs().max()) > 1e-4
    torch.testing.assert_close(out, wanted, atol=1e-9, rtol=1e-9)
    column = torch.stack(oracle.maps[1, 0]).mean(0).view(8, 8)
    torch.testing.assert_close(run.maps.get("grass", prompt=1), column, atol=1e-9, rtol=1e-9)


def tokens(studio: JointStudio, prompts: list[str], word: str) -> tuple[int, ...]:
    return plan(studio, prompts, 2)["texts"][1].find(word).indices


def test_edits_equal_the_dense_method_in_fp32(studio: JointStudio) -> None:
    """Two pictures of each prompt, without guidance, which would multiply the rounding."""
    steps = 4
    made = plan(studio, REFINE, steps)
    controls, given = case_all(made, steps)
    del made["texts"], made["gate"]
    oracle = Oracle(**made, guided=False, images=2, **given)
    call = {"num_inference_steps": steps, "images": 2, "guidance": 1.0}
    with oracle.on(studio.pipe.transformer):
        wanted = studio(REFINE, **call)
    with attach(studio.pipe, controls):
        out = studio(REFINE, **call)
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)
