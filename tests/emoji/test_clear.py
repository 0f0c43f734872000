"""`train clear` on an untrained emoji-flux: a pipeline comes out that is drawn with windows."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import FluxPipeline
from typer.testing import CliRunner

from attention_studio.cli.app import app
from attention_studio.distill import Distillation
from attention_studio.emoji.train.autoencoder import build_autoencoder
from attention_studio.emoji.train.clear import captions, train_clear
from attention_studio.emoji.train.emoji_flux import build_emoji_flux
from attention_studio.emoji.train.save import save_pipeline
from attention_studio.emoji.train.tokenizer import MAX_TOKENS
from attention_studio.processors import LocalWindow
from attention_studio.processors.attach import attach


def test_captions_are_the_seeds() -> None:
    found = captions(4, 1, ("cat", "dog", "star"))
    assert found == captions(4, 1, ("cat", "dog", "star")) != captions(4, 2, ("cat", "dog", "star"))


def test_a_pipeline_comes_out_that_is_drawn_with_windows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = tmp_path / "emoji-flux"
    save_pipeline(build_emoji_flux(build_autoencoder(64)), start)
    settings = Distillation(radius=3, steps=1, batch=1, drawn_in=1, size=(64, 64))
    folder = train_clear(start, tmp_path, ["a cat on grass"], settings)
    assert folder == tmp_path / "emoji-flux-clear"
    assert json.loads((folder / "clear.json").read_text())["radius"] == 3
    before, after = (
        FluxPipeline.from_pretrained(f, local_files_only=True) for f in (start, folder)
    )
    names = {
        name
        for (name, a), (_, b) in zip(
            before.transformer.named_parameters(),
            after.transformer.named_parameters(),
            strict=True,
        )
        if not torch.equal(a, b)
    }
    assert names and all(".attn.to_" in name for name in names)
    after.set_progress_bar_config(disable=True)
    with attach(after, [LocalWindow(3)]):
        image = after(
            "a cat",
            num_inference_steps=1,
            height=64,
            width=64,
            max_sequence_length=MAX_TOKENS,
            output_type="pt",
        ).images
    assert bool(image.isfinite().all())


def test_the_command_says_what_it_needs() -> None:
    found = CliRunner().invoke(app, ["train", "clear"])
    assert found.exit_code != 0 and "clear needs --start" in str(found.output) + str(
        found.exception
    )
