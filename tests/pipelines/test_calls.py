"""Guidance, the text's length and the size by the names of each family's pipeline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from attention_studio.pipelines.calls import (
    guidance_arguments,
    length_arguments,
    size_arguments,
)


class StablePipeline:
    """The arguments of Stable Diffusion's, whose denoiser says its size."""

    unet = SimpleNamespace(config=SimpleNamespace(sample_size=16))
    vae = SimpleNamespace(config=SimpleNamespace(sample_size=64))

    def __call__(
        self, prompt: str, guidance_scale: float = 7.5, negative_prompt: Any = None
    ) -> None:
        """Not called here."""


class FluxPipeline:
    """The arguments of FLUX's, for a model of 64 px whose T5 reads 48 tokens."""

    def __init__(self, *, distilled: bool = False, tokens: int = 48) -> None:
        self.transformer = SimpleNamespace(config=SimpleNamespace(guidance_embeds=distilled))
        self.vae = SimpleNamespace(config=SimpleNamespace(sample_size=64))
        self.tokenizer_2 = SimpleNamespace(model_max_length=tokens)
        self.tokenizer_3: SimpleNamespace | None

    def __call__(
        self,
        prompt: str,
        true_cfg_scale: float = 1.0,
        guidance_scale: float = 3.5,
        negative_prompt: Any = None,
        max_sequence_length: int = 512,
    ) -> None:
        """Not called here."""


@pytest.mark.parametrize(
    ("pipe", "negative", "expected"),
    [
        (StablePipeline(), None, {"guidance_scale": 4.0}),
        (StablePipeline(), "fog", {"guidance_scale": 4.0, "negative_prompt": ["fog"] * 2}),
        (FluxPipeline(), None, {"true_cfg_scale": 4.0, "negative_prompt": [""] * 2}),
        (FluxPipeline(), "fog", {"true_cfg_scale": 4.0, "negative_prompt": ["fog"] * 2}),
        (FluxPipeline(distilled=True), None, {"guidance_scale": 4.0}),
    ],
)
def test_guidance_by_its_name(pipe: Any, negative: str | None, expected: dict[str, Any]) -> None:
    assert guidance_arguments(pipe, 4.0, negative, count=2) == expected


def test_no_more_text_than_the_tokenizer_allows() -> None:
    assert length_arguments(FluxPipeline()) == {"max_sequence_length": 48}
    assert length_arguments(FluxPipeline(tokens=512)) == {}
    assert length_arguments(StablePipeline()) == {}
    three = FluxPipeline(tokens=77)  # as in Stable Diffusion 3: CLIP, CLIP, T5
    three.tokenizer_3 = SimpleNamespace(model_max_length=512)
    assert length_arguments(three) == {}
    three.tokenizer_3 = None
    assert length_arguments(three) == {}


def test_who_does_not_know_its_size_is_told_that_of_its_autoencoder() -> None:
    assert size_arguments(FluxPipeline()) == {"height": 64, "width": 64}
    assert size_arguments(StablePipeline()) == {}
