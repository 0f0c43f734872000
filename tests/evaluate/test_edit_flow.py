"""evaluate edit on a tiny random FLUX: FlowEdit stands beside the other two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attention_studio.drawing import Watch, draw_plain
from attention_studio.emoji import Scene
from attention_studio.emoji.train.t5 import build_t5_encoder, build_t5_tokenizer
from attention_studio.emoji.train.tokenizer import WIDTH
from attention_studio.emoji.words import CORE_NOUNS
from attention_studio.evaluate import evaluate_edit
from attention_studio.evaluate.edits import draw_edits
from attention_studio.evaluate.flow import FlowSettings, draw_flow, flow_settings
from attention_studio.evaluate.prompts import EDIT_SEEDS
from attention_studio.recipe import Recipe

from ..processors.joint_pipelines import flux, sd3

SIZE = (32, 32)


@pytest.fixture(scope="module")
def emoji_flux() -> Any:
    """With emoji world's words."""
    pipe, words = flux(joint_attention_dim=WIDTH), build_t5_tokenizer()
    pipe.register_modules(tokenizer_2=words, text_encoder_2=build_t5_encoder(words).eval())
    return pipe


def judge(images: Sequence[Image.Image]) -> list[Scene]:
    """Of one edit: the source as asked, the edit undone, the plain picture undone, FlowEdit's."""
    (edit,) = draw_edits(EDIT_SEEDS, CORE_NOUNS, 1)
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 8:24, 8:24] = True
    seen = (edit.before, edit.before, edit.before, edit.after)
    assert len(images) == len(seen)
    box = (0.25, 0.25, 0.75, 0.75)
    return [Scene((noun,), (colour,), (box,), mask, "grass", None) for noun, colour in seen]


def test_flow_edit_is_a_third_method(emoji_flux: Any, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    report = evaluate_edit(
        emoji_flux,
        nouns=CORE_NOUNS,
        size=SIZE,
        edits=1,
        weighed=0,
        steps=2,
        folder=tmp_path,
        judge=judge,
        progress=lambda *at: done.append(at),
    )
    assert done == [(i + 1, 6) for i in range(6)]
    table = report.table().splitlines()
    (head,) = [line for line in table if line.startswith("| edits")]
    (row,) = [line for line in table if line.startswith("| all")]
    assert head.endswith("| dB, plain | joint, FlowEdit | changed, FlowEdit | dB, FlowEdit |")
    assert head.count("|") == row.count("|") == 13
    assert "FlowEdit in the last 2 steps, guidance 1.5 and 3.5, draws 1." in table[0]
    facts = json.loads(report.to_json())
    assert facts["settings"]["flow"]["draws"] == 1
    found = facts["figures"][0]
    assert (found["flow"]["changed"]["right"], found["changed"]["right"]) == (1, 0)
    verdict = json.loads((tmp_path / "verdicts.jsonl").read_text())
    assert verdict["flow"]["there"] and not verdict["edit"]["there"]
    assert verdict["pictures"][3] == "pictures/0001-flow.png"
    source, led = (np.asarray(Image.open(tmp_path / verdict["pictures"][i])) for i in (0, 3))
    assert source.shape == led.shape and (source != led).any()
    assert Image.open(tmp_path / "sheet.png").width == 2 * 28 + 4 * 256 + 3 * 24


def test_an_edit_to_the_same_prompt_is_the_source(emoji_flux: Any) -> None:
    recipe = Recipe(prompts=("a cat", "a cat"), steps=2, size=SIZE, seed=3)
    (led,) = draw_flow(emoji_flux, recipe, FlowSettings(0.0, 2.0, 2.0), Watch(2, 2))
    alone = recipe.model_copy(update={"prompts": ("a cat",)})
    (source,) = draw_plain(emoji_flux, alone, Watch(2, 2))
    assert np.array_equal(np.asarray(led), np.asarray(source))


def test_settings_are_the_authors_where_they_have_some(emoji_pipe: Any, emoji_flux: Any) -> None:
    assert flow_settings(emoji_pipe) is None
    distilled, of_sd3 = flow_settings(flux(guidance_embeds=True)), flow_settings(sd3())
    assert distilled is not None and of_sd3 is not None
    assert (distilled.changed(28), of_sd3.changed(50)) == (24, 33)
    assert (distilled.source_guidance, distilled.target_guidance) == (1.5, 5.5)
    assert (of_sd3.source_guidance, of_sd3.target_guidance) == (3.5, 13.5)
    guided = flow_settings(emoji_flux)
    assert guided is not None and guided.changed(15) == 13
    assert flow_settings(emoji_flux, FlowSettings(0.5, 1.0, 2.0)) == FlowSettings(0.5, 1.0, 2.0)
    with pytest.raises(ValueError, match="flow: settings came for a StableDiffusionPipeline"):
        flow_settings(emoji_pipe, distilled)
