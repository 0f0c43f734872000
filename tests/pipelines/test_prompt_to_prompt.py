"""The pipelines of Prompt-to-Prompt: the stock call with controls, and stock again behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from torch import Tensor

from attention_studio.pipelines import (
    StableDiffusionPromptToPromptPipeline,
    StableDiffusionXLPromptToPromptPipeline,
)
from attention_studio.processors import (
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
)
from attention_studio.processors.attach import attach, attached

from ..processors.conftest import PROMPTS, SIDE, STEPS, sd, sdxl
from ..processors.test_stock import traces

CASES: dict[str, Callable[[], Any]] = {
    "sd": lambda: sd(StableDiffusionPromptToPromptPipeline),
    "sdxl": lambda: sdxl(StableDiffusionXLPromptToPromptPipeline),
}
REFINE = ["a cat on grass", "a red cat on grass"]
BLEND = ("cat", "tiger")
HALF = SIDE // 2  # pixels; four times the latents show nothing more
SIZE = {"height": HALF, "width": HALF, "num_inference_steps": STEPS, "output_type": "pt"}


@pytest.fixture(params=CASES)
def pipe(request: pytest.FixtureRequest) -> Any:
    return CASES[request.param]()


def call(pipe: Any, prompts: list[str] = PROMPTS, **more: Any) -> Any:
    return pipe(prompts, **{**SIZE, "seed": 0, **more})


def stock(pipe: Any, prompts: list[str] = PROMPTS, *, images: int = 1, **more: Any) -> Tensor:
    """The pictures of the stock class, from the same parts."""
    seeds = [torch.Generator().manual_seed(i) for _ in prompts for i in range(images)]
    settings = {"generator": seeds, "num_images_per_prompt": images, **SIZE, **more}
    return type(pipe).__bases__[1].__call__(pipe, prompts, **settings).images


def by_hand(pipe: Any, controls: list[Any], prompts: list[str] = PROMPTS, **more: Any) -> Tensor:
    with attach(pipe, controls):
        return stock(pipe, prompts, **more)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_the_source_is_stock_and_the_edit_is_not(pipe: Any, guidance: float) -> None:
    base = stock(pipe, guidance_scale=guidance)
    out = call(pipe, guidance_scale=guidance)
    assert torch.equal(out.images[0], base[0])
    assert not torch.equal(out.images[1], base[1])
    assert not torch.equal(out.images[1], out.images[0])
    assert len(out.receipts) == 1 and out.receipts[0].changed_inside > 0


@pytest.mark.parametrize(
    ("prompts", "settings", "controls"),
    [
        (PROMPTS, {}, [ReplaceWords(), KeepLayout()]),
        (
            PROMPTS,
            {"mode": "swap", "blend": BLEND, "cross_replace": (0.0, 0.5), "self_replace": 0.7},
            [ReplaceWords(Interval(0, 0.5)), KeepLayout(Interval(0, 0.7)), LocalBlend(BLEND)],
        ),
        (
            PROMPTS,
            {"cross_replace": {"tiger": (0.3, 0.6)}, "weights": {"tiger": 2.0}},
            [
                ReplaceWords(Interval(), {"tiger": Interval(0.3, 0.6)}),
                KeepLayout(),
                ReweightWords({"tiger": 2.0}, Interval(0.3, 0.6)),
            ],
        ),
        (REFINE, {"mode": "refine"}, [RefineWords(), KeepLayout()]),
        (
            REFINE,
            {"mode": "reweight", "weights": {"red": 3.0}, "cross_replace": {"default_": 0.5}},
            [
                RefineWords(Interval(0, 0.5)),
                KeepLayout(),
                ReweightWords({"red": 3.0}, Interval(0, 0.5)),
            ],
        ),
    ],
    ids=["swap", "blend", "word gates", "refine", "reweight"],
)
def test_it_is_the_controls_by_hand(
    pipe: Any, prompts: list[str], settings: dict[str, Any], controls: list[Any]
) -> None:
    out = call(pipe, prompts, **settings)
    assert torch.equal(out.images, by_hand(pipe, controls, prompts))


def test_the_pipe_is_stock_again(pipe: Any) -> None:
    base, before, scheduler = stock(pipe), traces(pipe), pipe.scheduler
    call(pipe, blend=BLEND)
    with pytest.raises(ValueError, match="dog"):
        call(pipe, blend=("cat", "dog"))
    assert traces(pipe) == before and pipe.scheduler is scheduler and attached(pipe) is None
    assert torch.equal(stock(pipe), base)


def test_equal_prompts_give_equal_pictures(pipe: Any) -> None:
    out = call(pipe, [PROMPTS[0]] * 2)
    assert torch.equal(out.images[0], out.images[1])
    assert out.receipts[0].effect == "none" and out.warnings == out.receipts[0].warnings


@pytest.mark.parametrize("output_type", ["pil", "np", "pt", "latent"])
def test_every_kind_of_picture_has_a_receipt(output_type: str) -> None:
    pipe = CASES["sd"]()
    wanted = call(pipe, blend=BLEND).receipts[0]
    out = call(pipe, blend=BLEND, output_type=output_type)
    assert len(out.images) == 2 and out.nsfw_content_detected is None
    assert set(out.maps.words) == {(0, "cat"), (1, "tiger")}
    if output_type == "latent":
        assert out.receipts == ()
    else:
        assert out.receipts[0].changed_inside == pytest.approx(wanted.changed_inside, abs=0.51)
    images, receipts, *_ = call(pipe, output_type=output_type, return_dict=False)
    assert len(images) == 2 and len(receipts) == (output_type != "latent")


def test_further_controls_and_the_stock_callback() -> None:
    pipe, steps = CASES["sd"](), []

    def stepped(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        return given

    out = call(pipe, controls=[RecordMaps(("grass",))], callback_on_step_end=stepped)
    assert steps == list(range(STEPS))
    assert set(out.maps.words) == {(0, "grass"), (1, "grass")}
    assert set(out.receipts[0].map_shift) == {"grass"}


def test_pictures_of_each_prompt(pipe: Any) -> None:
    out = call(pipe, num_images_per_prompt=2, blend=BLEND)
    hand = by_hand(pipe, [ReplaceWords(), KeepLayout(), LocalBlend(BLEND)], images=2)
    assert torch.equal(out.images, hand)
    assert torch.equal(out.images[:2], stock(pipe, images=2)[:2])
    assert len(out.receipts) == 2


def test_one_generator_draws_as_in_a_stock_run_of_the_source() -> None:
    pipe, ours, theirs = CASES["sd"](), torch.Generator(), torch.Generator()
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    out = call(pipe, seed=None, generator=ours.manual_seed(5), num_images_per_prompt=2)
    twice = [theirs.manual_seed(5)] * 2
    base = stock(pipe, PROMPTS[:1], images=2, generator=twice)
    torch.testing.assert_close(out.images[:2], base, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_noise_may_be_given_for_one_prompt_or_for_all() -> None:
    pipe = CASES["sd"]()
    wanted = call(pipe).images
    one, twin = (torch.Generator().manual_seed(0) for _ in range(2))
    for generators in ([one], [torch.Generator().manual_seed(0), twin]):
        assert torch.equal(call(pipe, seed=None, generator=generators).images, wanted)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for given in (latents, latents.repeat(2, 1, 1, 1)):
        assert torch.equal(call(pipe, seed=None, latents=given).images, wanted)
    by_chance = call(pipe, [PROMPTS[0]] * 2, seed=None).images
    assert torch.equal(by_chance[0], by_chance[1]) and not torch.equal(by_chance[0], wanted[0])


@pytest.mark.parametrize("scheduler", [PNDMScheduler, UniPCMultistepScheduler])
def test_a_scheduler_that_throws_edits_away_is_replaced_for_the_call(scheduler: Any) -> None:
    pipe = CASES["sd"]()
    ddim = call(pipe, blend=BLEND).images
    settings = {**pipe.scheduler.config, "skip_prk_steps": True}
    settings.pop("clip_sample")
    chosen = pipe.scheduler = scheduler.from_config(settings)
    config = dict(pipe.config)
    out = call(pipe, blend=BLEND)
    assert pipe.scheduler is chosen and dict(pipe.config) == config
    assert torch.equal(out.images, ddim)
    assert scheduler.__name__ in out.warnings[0] and "DDIMScheduler" in out.warnings[0]
    assert out.receipts[0].warnings[0] == out.warnings[0]
    assert not [w for w in call(pipe).warnings if "scheduler" in w]  # attention needs no other
    assert torch.equal(call(pipe).images[0], stock(pipe)[0])


@pytest.mark.parametrize(
    ("prompts", "settings", "sentence"),
    [
        (REFINE, {}, r"^prompt: mode='swap' .* \[4, 5\]; mode='refine' takes words"),
        ("a cat", {}, "^prompt: came 'a cat'; expected a list"),
        (["a cat"], {}, "^prompt: .* the source and its edits"),
        (PROMPTS, {"mode": "replace"}, "^mode: came 'replace'; expected 'swap'"),
        (PROMPTS, {"mode": "reweight"}, "^weights: came none"),
        (PROMPTS, {"weights": {"dog": 2.0}}, "dog"),
        (PROMPTS, {"cross_replace": {"dog": 0.5}}, "dog"),
        (PROMPTS, {"cross_replace": 1.5}, "^cross_replace: came 1.5; expected"),
        (PROMPTS, {"cross_replace": "all"}, "^cross_replace: came 'all'; expected"),
        (PROMPTS, {"self_replace": (0.5, 0.1)}, r"^self_replace: came \(0.5, 0.1\)"),
        (PROMPTS, {"blend": "cat"}, "^blend: came 'cat'; expected an entry for each"),
        (PROMPTS, {"blend": ("cat", "dog")}, "dog"),
        (PROMPTS, {"cross_repalce": 0.5}, "^cross_repalce: .* no such argument"),
        (PROMPTS, {"generator": torch.Generator()}, "^generator, seed: came both"),
        (PROMPTS, {"seed": None, "generator": [torch.Generator()] * 3}, "^generator: came 3; exp"),
        (
            PROMPTS,
            {"seed": None, "generator": [torch.Generator().manual_seed(i) for i in range(2)]},
            "^generator: those of the prompts differ",
        ),
        (PROMPTS, {"latents": torch.randn(2, 4, 8, 8)}, "^latents: prompt 1 starts from other"),
        (PROMPTS, {"latents": torch.randn(3, 4, 8, 8)}, "^latents: came 3 rows; expected 1"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    prompts: Any, settings: dict[str, Any], sentence: str
) -> None:
    pipe = CASES["sd"]()
    before = traces(pipe)
    with pytest.raises(ValueError, match=sentence) as error:
        call(pipe, prompts, **settings)
    assert "\n" not in str(error.value) and traces(pipe) == before


def test_arguments_of_the_stock_call_are_shown_and_taken_by_position(pipe: Any) -> None:
    theirs = inspect.signature(type(pipe).__bases__[1].__call__).parameters
    ours = inspect.signature(type(pipe).__call__).parameters
    assert set(theirs) < set(ours) and ours["self_replace"].default == 0.4
    assert list(ours)[:4] == list(theirs)[:4]
    if isinstance(pipe, StableDiffusionPipeline):
        out = pipe(PROMPTS, HALF, HALF, STEPS, seed=0, output_type="pt")
        assert torch.equal(out.images, call(pipe).images)


def test_from_pipe_shares_parts_and_keeps_their_dtype() -> None:
    theirs = sd().to(torch.bfloat16)
    ours = StableDiffusionPromptToPromptPipeline.from_pipe(theirs)
    assert type(ours) is StableDiffusionPromptToPromptPipeline
    assert all(ours.components[name] is part for name, part in theirs.components.items())
    assert {ours.unet.dtype, ours.vae.dtype, ours.text_encoder.dtype} == {torch.bfloat16}
    theirs.vae.to(torch.float32)
    with pytest.raises(ValueError, match=r"^dtype: "):
        StableDiffusionPromptToPromptPipeline.from_pipe(theirs)
    StableDiffusionPromptToPromptPipeline.from_pipe(theirs, dtype=torch.float32)
    assert theirs.unet.dtype is torch.float32


def test_folders_of_the_stock_pipeline_and_our_own_are_loaded(pipe: Any, tmp_path: Path) -> None:
    make = {"StableDiffusionPromptToPromptPipeline": sd}.get(type(pipe).__name__, sdxl)
    make().save_pretrained(tmp_path / "stock")
    pipe.save_pretrained(tmp_path / "ours")
    wanted = call(pipe).images
    for folder in ("stock", "ours"):
        loaded = type(pipe).from_pretrained(tmp_path / folder)
        loaded.set_progress_bar_config(disable=True)
        assert type(loaded) is type(pipe) and isinstance(loaded.scheduler, DDIMScheduler)
        assert torch.equal(call(loaded).images, wanted)
