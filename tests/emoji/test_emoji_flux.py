"""emoji-flux trains, resumes and loads as a stock FLUX pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline

from attention_studio.emoji.train.autoencoder import build_autoencoder
from attention_studio.emoji.train.card import read_card
from attention_studio.emoji.train.emoji_flux import draw_times, pack, train_emoji_flux
from attention_studio.emoji.train.loop import Budget, trained_so_far
from attention_studio.emoji.train.pictures import Phase
from attention_studio.emoji.train.run import EMBEDDED
from attention_studio.emoji.train.save import save_pipeline
from attention_studio.emoji.train.t5 import build_t5_tokenizer
from attention_studio.emoji.train.tokenizer import MAX_TOKENS, token_ids, words
from attention_studio.emoji.words import NOUNS


def test_every_word_is_one_token_of_t5_and_any_text_is_tokens() -> None:
    tokenizer = build_t5_tokenizer()
    assert all(len(tokenizer(word).input_ids) == 2 for word in words() if word.isalpha())
    for text in ("", "zebra \U0001f993 \u732b", "x" * 4000, "\x00\ud7ff", "na\u00efve caf\u00e9"):
        ids = token_ids(tokenizer, [text])
        assert ids.shape == (1, MAX_TOKENS) and int(ids.max()) < len(tokenizer)


def test_latents_are_packed_as_the_pipeline_does_it() -> None:
    latents = torch.randn(2, 8, 6, 4)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 8, 6, 4))


def test_times_favour_noise_and_cover_everything() -> None:
    torch.manual_seed(0)
    times = draw_times(20_000)
    assert 0 < times.min() < 0.02 and 0.98 < times.max() < 1
    assert 0.65 < times.median() < 0.75


@pytest.mark.usefixtures("second_a_look")
def test_emoji_flux_trains_resumes_and_loads_as_a_stock_pipeline(tmp_path: Path) -> None:
    budget = Budget(tmp_path, 0.1, batch=4, learning_rate=2e-3, warmup_steps=2)
    vae = build_autoencoder(64)
    _, first = train_emoji_flux(budget, vae, phase=Phase.close_ups)
    pipe, second = train_emoji_flux(budget, vae, phase=Phase.simple)
    assert second.pictures > first.pictures == 4 * first.steps
    assert trained_so_far(budget) == second
    folder = tmp_path / "emoji-flux"
    save_pipeline(pipe, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= 18e6
    stock = FluxPipeline.from_pretrained(folder, local_files_only=True)
    assert stock.transformer.dtype == stock.text_encoder_2.dtype == torch.float32
    stock.set_progress_bar_config(disable=True)
    image = stock(
        "a cat",
        negative_prompt="",
        true_cfg_scale=4.0,
        num_inference_steps=2,
        height=64,
        width=64,
        max_sequence_length=MAX_TOKENS,
        output_type="pt",
    ).images
    assert image.shape == (1, 3, 64, 64) and torch.isfinite(image).all()


def test_the_packaged_one_loads_as_a_stock_pipeline_and_is_small() -> None:
    folder = EMBEDDED / "emoji-flux"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 18e6
    card = read_card(folder)
    assert card.nouns == NOUNS and len(card.nouns) == 36
    stock = FluxPipeline.from_pretrained(folder, local_files_only=True)
    assert stock.transformer.dtype == stock.text_encoder_2.dtype == torch.float32
    assert stock.tokenizer_2.model_max_length == MAX_TOKENS
    assert stock.vae.config.sample_size == card.image_size == 128
