"""`train clear` on an untrained emoji-flux: a pipeline comes out that is drawn with windows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from safetensors import safe_open
from typer.testing import CliRunner

from attention_studio.cli.app import app
from attention_studio.distill import Distillation
from attention_studio.emoji.train.autoencoder import build_autoencoder
from attention_studio.emoji.train.card import Card, read_card, write_card
from attention_studio.emoji.train.clear import plans, scenes, train_clear
from attention_studio.emoji.train.emoji_flux import build_emoji_flux, pack
from attention_studio.emoji.train.run import EMBEDDED
from attention_studio.emoji.train.save import save_pipeline
from attention_studio.emoji.train.tokenizer import MAX_TOKENS
from attention_studio.pipelines.load import load
from attention_studio.processors import LocalWindow
from attention_studio.processors.attach import attach


def test_plans_are_the_seeds() -> None:
    found = plans(4, 1, ("cat", "dog", "star"))
    assert found == plans(4, 1, ("cat", "dog", "star")) != plans(4, 2, ("cat", "dog", "star"))


def test_scenes_stand_in_for_the_teachers_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = tmp_path / "emoji-flux"
    save_pipeline(build_emoji_flux(build_autoencoder(64)), start)
    write_card(Card("emoji-flux", "1", 64, ("cat",), "scenes", 1, 1, 1.0, "none", 0), start)
    known = plans(2, 1, ("cat", "dog"))
    images = scenes(known)
    assert images(0, (64, 64)).size == (64, 64)
    settings = Distillation(radius=3, steps=1, batch=1)
    texts = [plan.caption for plan in known]
    folder = train_clear(start, tmp_path, texts, settings, images=images)
    assert read_card(folder).data.endswith("on given pictures")
    file = tmp_path / "checkpoints" / folder.name / "pictures" / "000001.safetensors"
    with safe_open(file, "pt") as found:
        made = json.loads(found.metadata()["made"])
        latents = found.get_tensor("latents")
    assert made["images"] == "given" and "steps" not in made and made["prompt"] == texts[1]
    pixels = torch.from_numpy(np.array(images(1, (64, 64)))).permute(2, 0, 1)[None] / 127.5 - 1
    vae = load(start, dtype=torch.float32).vae
    with torch.no_grad():
        clean = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
    assert torch.allclose(latents, pack(clean)[0], atol=1e-4)
    with pytest.raises(ValueError, match="expected a folder of its own"):
        train_clear(start, tmp_path, texts, settings)


def test_a_pipeline_comes_out_that_is_drawn_with_windows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = tmp_path / "emoji-flux"
    save_pipeline(build_emoji_flux(build_autoencoder(64)), start)
    known = Card("emoji-flux", "1", 64, ("cat",), "scenes", 1, 1, 1.0, "none", 0)
    write_card(known, start)
    settings = Distillation(radius=3, steps=1, batch=1, drawn_in=1)
    folder = train_clear(start, tmp_path, ["a cat on grass"], settings)
    assert folder == tmp_path / "emoji-flux-clear"
    assert json.loads((folder / "clear.json").read_text())["radius"] == 3
    card = read_card(folder)
    assert (card.name, card.image_size, card.nouns) == ("emoji-flux-clear", 64, ("cat",))
    picture = tmp_path / "checkpoints" / folder.name / "pictures" / "000000.safetensors"
    with safe_open(picture, "pt") as file:
        assert json.loads(file.metadata()["made"])["size"] == [64, 64], "the size it was trained at"
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


def said(*args: object) -> str:
    found = CliRunner().invoke(app, ["train", *map(str, args)])
    assert found.exit_code == 2
    return " ".join((str(found.output) + str(found.stderr)).split())


def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    assert "clear needs --start" in said("clear")
    assert "nouns: got unicorn" in said("clear", "--start", tmp_path, "--nouns", "cat,unicorn")
    assert "needs 2 or more" in said("clear", "--start", tmp_path, "--nouns", "cat")
    lines = tmp_path / "lines.txt"
    lines.write_text("a cat\n", encoding="utf-8")
    of = ("clear", "--start", tmp_path)
    assert "captions of its own" in said(*of, "--scenes", "--prompts", lines)
    assert "--only-flow has no --velocity-loss" in said(*of, "--only-flow", "--attention-loss", 1)
    sd = EMBEDDED / "emoji-sd"
    assert "holds a StableDiffusionPipeline; expected a FLUX" in said(
        *("clear", "--start", sd, "--out", tmp_path, "--smoke")
    )


@pytest.mark.parametrize(
    ("args", "whose"),
    [
        (
            ("clear", "--minutes", "1"),
            "--minutes is for emoji-sd and emoji-flux and emoji-flux-fill and judge",
        ),
        (("clear", "--phase", "simple"), "--phase is for emoji-sd and emoji-flux; clear came"),
        (("clear", "--repainter", "x"), "--repainter is for judge; clear came"),
        (("judge", "--nouns", "all"), "--nouns is for emoji-sd and emoji-flux and clear; judge"),
        (("judge", "--fresh-autoencoder"), "--fresh-autoencoder is for emoji-sd and emoji-flux"),
        (("judge", "--rank", "4"), "--rank is for clear; judge came"),
        (
            ("judge", "--batch", "4"),
            "--batch is for emoji-sd and emoji-flux and emoji-flux-fill and clear",
        ),
        (("emoji-sd", "--only-flow"), "--only-flow is for clear; emoji-sd came"),
        (("emoji-sd", "--repainter", "x"), "--repainter is for judge; emoji-sd came"),
        (("emoji-sd", "--scenes"), "--scenes is for clear; emoji-sd came"),
        (("emoji-flux", "--steps", "4"), "--steps is for clear; emoji-flux came"),
    ],
)
def test_an_option_of_another_model_is_refused(args: tuple[str, ...], whose: str) -> None:
    assert whose in said(*args)


def test_the_command_goes_on_or_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "attention_studio.emoji.train.clear.train_clear",
        lambda *args, **options: told.append({"args": args, **options}) or tmp_path,
    )
    lines = tmp_path / "prompts.txt"
    lines.write_text("a cat\n\n a dog \na frog\n", encoding="utf-8")
    for more in ((), ("--no-resume", "--threads", "1", "--seed", "5", "--prompts", str(lines))):
        found = CliRunner().invoke(
            app, ["train", "clear", "--start", str(tmp_path), "--smoke", *more]
        )
        assert found.exit_code == 0, found.output
    first, second = told
    assert (first["resume"], first["threads"]) == (True, None)
    assert (second["resume"], second["threads"]) == (False, 1)
    assert second["args"][2] == ("a cat", "a dog")
    assert second["args"][3] == Distillation(steps=3, seed=5, decay=0.5)


def test_the_variants_of_a_table_are_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Distillation] = []
    monkeypatch.setattr(
        "attention_studio.emoji.train.clear.train_clear",
        lambda *args, **_: told.append(args[3]) or tmp_path,
    )
    start = ("train", "clear", "--start", str(tmp_path), "--radius", "4", "--batch", "64")
    weighed = ("--velocity-loss", "10", "--attention-loss", "0", "--every", "1")
    for more in (("--rate", "3e-4", "--decay", "0"), ("--only-flow",), ("--pooled", "4"), weighed):
        found = CliRunner().invoke(app, [*start, *more])
        assert found.exit_code == 0, found.output
    made = Distillation(radius=4, batch=64, decay=0.5)
    assert told == [
        replace(made, learning_rate=3e-4, decay=0.0),
        replace(made, teacher=0.0, attention=0.0),
        replace(made, pooled=4),
        replace(made, teacher=10.0, attention=0.0, every=1),
    ]
