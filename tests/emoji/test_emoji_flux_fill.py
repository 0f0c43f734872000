"""emoji-flux-fill trains, is kept as a difference and loads as a stock inpainting pipeline."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline, FluxPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from attention_studio import Recipe, Session
from attention_studio.cli.app import app
from attention_studio.emoji.train.card import read_card
from attention_studio.emoji.train.emoji_flux_fill import holed
from attention_studio.emoji.train.run import EMBEDDED, run
from attention_studio.emoji.words import CORE_NOUNS, NOUNS
from attention_studio.models import describe
from attention_studio.pipelines.fill import DIFFERENCE, fill_pipeline, load_fill, widened
from attention_studio.pipelines.load import load


def test_holes_lie_around_things_elsewhere_and_everywhere() -> None:
    parts = []
    for caption, image in islice(holed((3, 1), CORE_NOUNS, 64), 200):
        assert caption and image.shape == (64, 64, 4) and set(np.unique(image[..., 3])) <= {0, 255}
        parts.append((image[..., 3] > 0).mean())
    assert 0.02 < np.mean(np.array(parts) == 1) < 0.12
    assert 0.1 < np.median(parts) < 0.5


def test_wider_input_counts_for_nothing_at_first() -> None:
    base = load("emoji-flux")
    wide = widened(base.transformer, 128)
    noisy = torch.randn(1, 256, 32)
    given = {
        "timestep": torch.tensor([0.5]),
        "pooled_projections": torch.randn(1, 160),
        "encoder_hidden_states": torch.randn(1, 48, 160),
        "txt_ids": torch.zeros(48, 3),
        "img_ids": torch.zeros(256, 3),
        "return_dict": False,
    }
    with torch.no_grad():
        plain = base.transformer(noisy, **given)[0]
        more = wide(torch.cat([noisy, torch.randn(1, 256, 96)], -1), **given)[0]
    assert (more - plain).abs().max() < 1e-5
    with pytest.raises(ValueError, match="channels: got 16, expected at least the 32 it has"):
        widened(base.transformer, 16)


@pytest.mark.usefixtures("second_a_look")
def test_it_trains_and_the_difference_is_what_was_trained(tmp_path: Path) -> None:
    base = tmp_path / "emoji-flux"
    base.symlink_to(EMBEDDED / "emoji-flux")
    folder = run("emoji-flux-fill", minutes=0.1, out=tmp_path, start=base, batch=2, rate=1e-3)
    assert folder == tmp_path / "emoji-flux-fill"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 8e6
    card = read_card(folder)
    assert card.pictures_seen > 0 and card.nouns == NOUNS
    about = describe(folder)
    assert (about.family, about.image_size, about.factor) == ("FluxFillPipeline", 128, 8)
    pipe = load(folder)
    assert isinstance(pipe, FluxFillPipeline)
    kept = load_file(folder / DIFFERENCE)
    plain, trained = load("emoji-flux").transformer, pipe.transformer.state_dict()
    layer = "single_transformer_blocks.2.proj_mlp"
    change = trained[f"{layer}.weight"] - plain.state_dict()[f"{layer}.weight"]
    factors = (kept[f"{layer}.lora_{side}.weight"].float() for side in "BA")
    up, down = factors
    assert change.abs().max() > 0 and (change - up @ down).abs().max() < 1e-5
    assert torch.equal(trained["x_embedder.weight"], kept["x_embedder.weight"].float())


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    base = load("emoji-flux")
    assert isinstance(base, FluxPipeline)
    kept = load_file(EMBEDDED / "emoji-flux-fill" / DIFFERENCE)
    for broken, said in (
        ({**kept, "elsewhere.bias": torch.zeros(1)}, "has no layer for elsewhere.bias"),
        ({"x_embedder.weight": torch.zeros(4, 4)}, "does not fit its base"),
        ({}, "does not fit its base"),
    ):
        save_file(broken, tmp_path / DIFFERENCE)
        with pytest.raises(ValueError, match=said):
            load_fill(tmp_path, base)
    with pytest.raises(ValueError, match="does not say what it is a difference to"):
        load(tmp_path)
    save_file(kept, tmp_path / DIFFERENCE, metadata={"base": tmp_path.name})
    with pytest.raises(ValueError, match="which is one itself"):
        load(tmp_path)
    (tmp_path / DIFFERENCE).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=f"{DIFFERENCE} does not load"):
        load(tmp_path)
    with pytest.raises(ValueError, match="is a difference to a FLUX pipeline"):
        load_fill(EMBEDDED / "emoji-flux-fill", load("emoji-sd"))


def test_the_packaged_one_fills_a_hole_and_keeps_the_rest() -> None:
    pipe = load("emoji-flux-fill")
    assert isinstance(pipe, FluxFillPipeline)
    assert fill_pipeline(load("emoji-flux")).transformer.config == pipe.transformer.config
    grey = Image.new("RGB", (128, 128), (90, 160, 70))
    mask = np.zeros((128, 128), np.uint8)
    mask[40:90, 40:90] = 255
    image = pipe(
        prompt="a red ball on grass",
        image=grey,
        mask_image=Image.fromarray(mask),
        height=128,
        width=128,
        num_inference_steps=6,
        max_sequence_length=48,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    red = image[..., 0] - image[..., 1]
    inside = mask > 0
    assert red[inside].mean() > red[~inside].mean() + 0.2


def test_what_draws_from_words_refuses_it_in_a_sentence() -> None:
    recipe = Recipe(prompts=("a cat",), model="emoji-flux-fill")
    with pytest.raises(ValueError, match="emoji-flux-fill is a FluxFillPipeline, which fills a"):
        Session().run(recipe)
    found = CliRunner().invoke(app, ["evaluate", "base", "--model", "emoji-flux-fill"])
    assert "emoji-flux-fill does not draw emoji world from words" in " ".join(found.stderr.split())


def test_only_a_flux_pipeline_is_learned_from(tmp_path: Path) -> None:
    start = tmp_path / "other"
    start.symlink_to(EMBEDDED / "emoji-sd")
    with pytest.raises(ValueError, match=r"start: .* holds a StableDiffusionPipeline"):
        run("emoji-flux-fill", minutes=0.01, out=tmp_path, start=start)
