"""Word maps: recorded without a trace, those of the conditional rows, the probabilities in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from attention_studio.emoji import Scene
from attention_studio.emoji.train.word_maps import MapRecorder, measure_word_maps
from attention_studio.evaluate.prompt_words import find_words
from attention_studio.evaluate.word_report import WordOverlap, summarise

PROMPTS = ("a cat on grass", "a red dog to the left of a red ball")


def _draw(pipe: StableDiffusionPipeline, prompts: tuple[str, ...], **options: Any) -> np.ndarray:
    generators = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    options = {"num_inference_steps": 2, "output_type": "np", "generator": generators, **options}
    return pipe(list(prompts), **options).images


def _hooks(pipe: StableDiffusionPipeline) -> int:
    return sum(len(m._forward_pre_hooks) for m in pipe.unet.modules())


def test_recording_leaves_no_trace(emoji_pipe: StableDiffusionPipeline) -> None:
    processors, hooks = dict(emoji_pipe.unet.attn_processors), _hooks(emoji_pipe)
    stock = _draw(emoji_pipe, PROMPTS)
    with MapRecorder(emoji_pipe.unet, len(PROMPTS)) as recorder:
        assert np.array_equal(_draw(emoji_pipe, PROMPTS), stock)
        assert _hooks(emoji_pipe) > hooks
    assert _hooks(emoji_pipe) == hooks
    after = emoji_pipe.unet.attn_processors
    assert all(after[name] is processor for name, processor in processors.items())
    assert {maps.shape for maps in recorder.maps().values()} == {(2, 16, 16, 48), (2, 8, 8, 48)}
    for maps in recorder.maps().values():
        torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]))


def test_an_exception_leaves_no_trace(emoji_pipe: StableDiffusionPipeline) -> None:
    hooks = _hooks(emoji_pipe)
    with pytest.raises(KeyError), MapRecorder(emoji_pipe.unet, 1):
        raise KeyError
    assert _hooks(emoji_pipe) == hooks


def test_the_maps_are_those_that_the_model_uses(emoji_pipe: StableDiffusionPipeline) -> None:
    """Heads averaged: with one value per token, the same for all heads, probs @ values = output."""
    site = "down_blocks.1.attentions.0.transformer_blocks.0.attn2"
    attention = emoji_pipe.unet.get_submodule(site)
    weight, bias = attention.to_out[0].weight.clone(), attention.to_out[0].bias.clone()
    outputs: list[Tensor] = []
    texts: list[Tensor] = []

    def see(_: object, __: object, kwargs: dict[str, Tensor], output: Tensor) -> None:
        texts.append(kwargs["encoder_hidden_states"])
        outputs.append(output)

    handle = attention.register_forward_hook(see, with_kwargs=True)
    values = attention.to_v.weight.clone()
    width = values.shape[0] // attention.heads
    try:
        with (
            torch.no_grad()
        ):  # every head carries the first head's values; the output is their mean
            attention.to_v.weight.copy_(values[:width].repeat(attention.heads, 1))
            attention.to_out[0].weight.copy_(
                torch.eye(width).repeat(attention.heads, attention.heads) / attention.heads
            )
            attention.to_out[0].bias.zero_()
            with MapRecorder(emoji_pipe.unet, 1) as recorder:
                _draw(emoji_pipe, PROMPTS[1:], num_inference_steps=1)
    finally:
        handle.remove()
        with torch.no_grad():
            attention.to_v.weight.copy_(values)
            attention.to_out[0].weight.copy_(weight)
            attention.to_out[0].bias.copy_(bias)
    maps = recorder.maps()[site][0].flatten(0, 1)
    expected = maps @ (texts[0][-1] @ values[:width].T)
    torch.testing.assert_close(outputs[0][-1][:, :width], expected, atol=1e-6, rtol=1e-4)


def test_the_rows_are_the_conditional_ones(emoji_pipe: StableDiffusionPipeline) -> None:
    """Before the first step guidance has changed nothing, so the maps are those without it."""
    found = []
    for guidance in (1.0, 7.5):
        with MapRecorder(emoji_pipe.unet, len(PROMPTS)) as recorder:
            _draw(emoji_pipe, PROMPTS, num_inference_steps=1, guidance_scale=guidance)
        found.append(recorder.maps())
    for site, maps in found[0].items():
        torch.testing.assert_close(found[1][site], maps, atol=1e-6, rtol=1e-4)


def test_words_find_their_tokens(emoji_pipe: StableDiffusionPipeline) -> None:
    words = find_words(emoji_pipe.tokenizer, "a big red dog next to a red ball in the snow")
    said = [(word.text, word.kind, word.thing, word.token) for word in words]
    assert said == [
        ("dog", "noun", 0, 4),
        ("red", "colour", 0, 3),
        ("ball", "noun", 1, 9),
        ("red", "colour", 1, 8),
    ]
    (word,) = find_words(emoji_pipe.tokenizer, "cute balloon ball")[1:]
    assert (word.text, word.token) == ("ball", 3)


@pytest.mark.parametrize("prompt", ["on grass", "a cat and a cat", "two dogs", "cats"])
def test_prompts_without_plain_nouns_are_an_error(
    emoji_pipe: StableDiffusionPipeline, prompt: str
) -> None:
    with pytest.raises(ValueError, match="prompts: "):
        find_words(emoji_pipe.tokenizer, prompt)


def test_the_report(emoji_pipe: StableDiffusionPipeline, tmp_path: Path) -> None:
    masks = np.zeros((2, 64, 64), bool)
    masks[0, :, :32] = masks[1, :, 32:] = True
    both = Scene(("ball", "dog"), (None, None), ((0, 0, 1, 1),) * 2, masks, "grass", None)
    prompts = (*PROMPTS, "a dog on grass", "a dog and a ball at night")
    report = measure_word_maps(
        emoji_pipe,
        prompts,
        steps=1,
        batch=3,
        folder=tmp_path,
        judge=lambda images: [both] * len(images),
    )
    assert (report.pictures, report.left_out) == (3, 1)  # nobody saw a cat
    row = report.figure("noun")
    assert (row.words, row.pairs, row.grid) == (5, 4, (16, 16))
    assert report.figure("colour").words == 2
    assert row.own_mass is not None and row.other_mass is not None
    assert row.own_mass + row.other_mass == pytest.approx(1, abs=1e-5)  # the halves are everything
    assert {f.grid for f in report.figures if f.site.startswith("mid_block")} == {(8, 8)}
    assert json.loads((tmp_path / "words.json").read_text())["pictures"] == 3
    assert (tmp_path / "words.md").read_text() == report.table()
    assert (tmp_path / "words.png").is_file()
    with pytest.raises(ValueError, match="verb at mean came"):
        report.figure("verb")


def test_means_and_ratios() -> None:
    rows = [
        WordOverlap("mean", (16, 16), "noun", iou, iou, 0.6, other, mass)
        for iou, other, mass in ((0.5, 0.1, 0.2), (0.7, 0.3, 0.4), (0.9, None, None))
    ]
    (row,) = summarise(rows)
    assert (row.words, row.pairs) == (3, 2)
    assert row.iou == pytest.approx(0.7)
    assert row.iou_error == pytest.approx(1.96 * 0.2 / 3**0.5)
    assert row.iou_ratio == pytest.approx(0.6 / 0.2)
    assert row.mass_ratio == pytest.approx(0.6 / 0.3)
