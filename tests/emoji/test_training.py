"""The trainers in half a minute: losses fall, runs resume, the result is a stock pipeline."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from attention_studio.emoji.train.autoencoder import build_autoencoder, normalise, train_autoencoder
from attention_studio.emoji.train.card import card_of, read_card, write_card
from attention_studio.emoji.train.emoji_sd import build_emoji_sd, train_emoji_sd
from attention_studio.emoji.train.loop import Budget, trained_so_far
from attention_studio.emoji.train.optimizer import Optimizer
from attention_studio.emoji.train.pictures import Phase, captioned
from attention_studio.emoji.train.run import run
from attention_studio.emoji.train.save import save_pipeline
from attention_studio.emoji.train.tokenizer import build_tokenizer, words
from attention_studio.emoji.words import CORE_NOUNS


def test_every_word_of_the_world_is_one_token_and_any_text_is_tokens() -> None:
    tokenizer = build_tokenizer()
    assert all(len(tokenizer(word).input_ids) == 3 for word in words())
    for text in ("", "zebra \U0001f993 \u732b", "x" * 4000, "\x00\ud7ff", "na\u00efve caf\u00e9"):
        ids = tokenizer(text, truncation=True, padding="max_length").input_ids
        assert len(ids) == tokenizer.model_max_length and max(ids) < len(tokenizer)


def test_the_autoencoder_learns_and_its_latents_are_normalised(tmp_path: Path) -> None:
    start = build_autoencoder()
    picture = torch.rand(8, 3, 64, 64) * 2 - 1
    before = start.decode(start.encode(picture).latent_dist.mode()).sample
    normalise(start, picture)
    latents = start.encode(picture).latent_dist.mode()
    after = start.decode(latents).sample
    assert torch.allclose(before, after, atol=1e-3)  # the folded map and its inverse cancel
    assert latents.mean((0, 2, 3)).abs().max() < 1e-3
    assert abs(latents.detach().var((0, 2, 3)).mean().item() - 1) < 0.01
    model, done = train_autoencoder(Budget(tmp_path, 0.1, batch=4, decay=0.5), size=64)
    assert done.steps > 1 and done.loss < 3.0 and not model.training


@pytest.mark.parametrize(
    ("phase", "side", "things"),
    [
        (Phase.close_ups, 32, {1}),
        (Phase.pairs, 48, {2}),
        (Phase.whole_pairs, 64, {2}),
        (Phase.simple, 64, {1, 2}),
        (Phase.everything, 64, {1, 2, 3}),
    ],
)
def test_a_phase_shows_what_it_is_named_after(phase: Phase, side: int, things: set[int]) -> None:
    drawn = list(islice(captioned(phase, 5, CORE_NOUNS, 64), 60))
    assert {image.shape for _, image in drawn} == {(side, side, 3)}
    said = [text.replace(",", " ").split() for text, _ in drawn]
    assert {sum(word in CORE_NOUNS for word in words) for words in said} == things


@pytest.mark.usefixtures("second_a_look")
def test_emoji_sd_trains_resumes_and_loads_as_a_stock_pipeline(tmp_path: Path) -> None:
    torch.manual_seed(0)
    budget = Budget(tmp_path, 0.1, batch=4, learning_rate=2e-3, warmup_steps=2)
    vae = build_autoencoder(64)
    _, first = train_emoji_sd(budget, vae)
    pipe, second = train_emoji_sd(budget, vae)
    assert second.pictures > first.pictures == 4 * first.steps
    assert trained_so_far(budget) == second
    folder = tmp_path / "emoji-sd"
    save_pipeline(pipe, folder)
    write_card(card_of("emoji-sd", "1", 64, ("cat",), budget, second), folder)
    assert read_card(folder).pictures_seen == second.pictures
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= 18e6
    stock = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    image = stock("a cat", num_inference_steps=2, output_type="pt").images
    assert image.shape == (1, 3, 64, 64) and torch.isfinite(image).all()


def test_the_optimizer_moves_every_parameter() -> None:
    model = torch.nn.ModuleDict({"unet": build_emoji_sd(build_autoencoder()).unet})
    optimizer = Optimizer(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step(1e-2)
    optimizer.zero_grad()
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert all(moved) and all(p.grad is None for p in model.parameters())


def test_bad_requests_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name: got 'sdxl'"):
        run("sdxl", minutes=1, out=tmp_path)
    with pytest.raises(ValueError, match="nouns: got unicorn"):
        run("emoji-sd", minutes=1, out=tmp_path, nouns=("unicorn",))
