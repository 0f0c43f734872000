"""The pipelines of composition: the stock call with controls, and stock again behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline
from torch import Tensor

from attention_studio.pipelines import (
    StableDiffusionComposePipeline,
    StableDiffusionXLComposePipeline,
)
from attention_studio.processors import (
    Excite,
    RecordMaps,
    RegionPrompts,
    Retain,
    Segregate,
    StructurePhrases,
)
from attention_studio.processors.attach import attach

from ..processors.conftest import SIDE, STEPS, sd, sdxl
from ..processors.test_stock import traces

CASES: dict[str, Callable[[], Any]] = {
    "sd": lambda: sd(StableDiffusionComposePipeline),
    "sdxl": lambda: sdxl(StableDiffusionXLComposePipeline),
}
TEXT = "a cat and a red dog"
WORDS = ("cat", "dog")
HALF = SIDE // 2
SIZE = {"height": HALF, "width": HALF, "num_inference_steps": STEPS, "output_type": "pt"}
LEFT = (0.0, 0.0, 0.5, 1.0)


@pytest.fixture(params=CASES)
def pipe(request: pytest.FixtureRequest) -> Any:
    return CASES[request.param]()


def stock(pipe: Any, **more: Any) -> Tensor:
    cls = type(pipe).__bases__[1]
    seeds = torch.Generator().manual_seed(0)
    found: Tensor = cls.__call__(pipe, TEXT, generator=seeds, **{**SIZE, **more}).images
    return found


def test_it_attaches_the_controls_that_were_asked_for(pipe: Any) -> None:
    before = traces(pipe)
    out = pipe(TEXT, seed=0, **SIZE)
    with attach(pipe, [Segregate(WORDS), Retain(WORDS)]):
        assert torch.equal(out.images, stock(pipe))
    assert len(out.nudges) == 1 and out.warnings == ()  # the first 30 % of three steps
    once = {**SIZE, "num_inference_steps": 1}
    every = {"segregation": 0, "retention": 0, "excitement": 2.0, "structure": True}
    every |= {"regions": [(LEFT, "snow")], "controls": [RecordMaps(("cat",))]}
    out = pipe(TEXT, seed=0, **every, **once)
    others = [Excite(WORDS, weight=2.0), StructurePhrases(), RegionPrompts(((LEFT, "snow"),))]
    with attach(pipe, others):
        assert torch.equal(out.images, stock(pipe, num_inference_steps=1))
    assert out.maps.words == ((0, "cat"),)
    out = pipe(TEXT, seed=0, excitement=1, step_size=0.1, relative=True, **once)
    step: dict[str, Any] = {"step_size": 0.1, "relative": True}
    with attach(pipe, [Segregate(WORDS, **step), Retain(WORDS, **step), Excite(WORDS, **step)]):
        assert torch.equal(out.images, stock(pipe, num_inference_steps=1))
    assert traces(pipe) == before


def test_with_everything_off_it_is_stock(pipe: Any) -> None:
    out = pipe(TEXT, seed=0, segregation=0, retention=0, **SIZE)
    assert torch.equal(out.images, stock(pipe)) and out.nudges == ()


def test_the_stock_arguments_are_shown_and_kept() -> None:
    made = sd(StableDiffusionComposePipeline)
    shown = inspect.signature(type(made).__call__).parameters
    assert {"guidance_scale", "concepts", "step_size"} <= shown.keys()
    pair = made(TEXT, seed=3, num_images_per_prompt=2, return_dict=False, **SIZE)
    assert len(pair) == 5 and pair[0].shape[0] == 2
    shared = StableDiffusionComposePipeline.from_pipe(sd(StableDiffusionPipeline))
    assert isinstance(shared, StableDiffusionComposePipeline)


def test_a_scheduler_that_throws_moves_away_gives_way() -> None:
    made = sd(StableDiffusionComposePipeline)
    made.scheduler = PNDMScheduler.from_config(made.scheduler.config)
    out = made(TEXT, seed=0, **SIZE)
    assert "DDIMScheduler drew these pictures" in out.warnings[0]
    assert isinstance(made.scheduler, PNDMScheduler)


def test_what_makes_no_sense_is_said() -> None:
    made = sd(StableDiffusionComposePipeline)
    with pytest.raises(ValueError, match="concepts: came 'cat'; expected several"):
        made(TEXT, concepts="cat", **SIZE)
    with pytest.raises(ValueError, match="generator, seed: came both"):
        made(TEXT, seed=1, generator=torch.Generator(), **SIZE)
    with pytest.raises(ValueError, match="'fox' is not in the prompt"):
        made(TEXT, concepts=("cat", "fox"), **SIZE)
    with pytest.raises(ValueError, match="step_size: came 20"):
        made(TEXT, step_size=20.0, **SIZE)
