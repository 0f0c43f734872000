"""What attach refuses, and that it leaves no trace however the block ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInstructPix2PixPipeline,
    UniPCMultistepScheduler,
)
from diffusers.models.attention_processor import (
    PAGCFGIdentitySelfAttnProcessor2_0,
    SlicedAttnProcessor,
)

from attention_studio.processors import (
    Call,
    Cancelled,
    Control,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    Site,
    Step,
)
from attention_studio.processors.attach import attach

from .conftest import PROMPTS, Studio
from .test_stock import traces


class Fail(Control):
    """Breaks in the middle of a run."""

    def acts(self, site: Site, step: Step) -> bool:
        return step.index == 1

    def tokens(self, call: Call) -> Call:
        raise RuntimeError("broken control")


def test_an_exception_leaves_no_trace() -> None:
    studio = Studio("sd")
    base, before = studio(), traces(studio.pipe)
    with pytest.raises(RuntimeError, match="broken control"), attach(studio.pipe, [Fail()]):
        studio()
    assert traces(studio.pipe) == before
    assert torch.equal(studio(), base)


def test_a_cancelled_run_leaves_no_trace() -> None:
    studio = Studio("sd")
    before = traces(studio.pipe)
    for controls in ([], [KeepLayout()]):
        with attach(studio.pipe, controls) as run:
            run.cancel()
            with pytest.raises(Cancelled):
                studio()
            studio()  # the wish was for one run
        assert traces(studio.pipe) == before


def test_a_second_attach_is_refused_also_by_a_shared_denoiser() -> None:
    studio = Studio("sd")
    other = StableDiffusionImg2ImgPipeline(**studio.pipe.components, requires_safety_checker=False)
    before = traces(studio.pipe)
    with attach(studio.pipe, []):
        for pipe in (studio.pipe, other):
            with pytest.raises(ValueError, match="attached already"), attach(pipe, []):
                pass
        studio()
    assert traces(studio.pipe) == before


def test_wrappers_keep_signatures_and_what_others_have_put_there() -> None:
    """Pipelines read the signatures of the scheduler's methods for `eta` and `generator`."""
    import inspect

    pipe = Studio("sd").pipe
    theirs = lambda *args, **kwargs: type(pipe).encode_prompt(pipe, *args, **kwargs)  # noqa: E731
    pipe.encode_prompt = theirs
    signatures = [inspect.signature(f) for f in (pipe.scheduler.step, pipe.scheduler.set_timesteps)]
    with attach(pipe, []):
        wrapped = (pipe.scheduler.step, pipe.scheduler.set_timesteps)
        assert [inspect.signature(f) for f in wrapped] == signatures
    assert pipe.encode_prompt is theirs


def refuses(pipe: Any, controls: list[Any], sentence: str) -> None:
    before = traces(pipe)
    with pytest.raises(ValueError, match=sentence), attach(pipe, controls):
        pass
    assert traces(pipe) == before


def test_what_cannot_be_steered_is_refused() -> None:
    pipe = Studio("sd").pipe
    refuses(pipe, [print], "controls: came <built-in function print>; expected controls")
    attn = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    stock = attn.processor
    for other in (SlicedAttnProcessor(1), PAGCFGIdentitySelfAttnProcessor2_0()):
        attn.set_processor(other)
        refuses(
            pipe, [], f"pipe: mid_block.* holds {type(other).__name__}; expected AttnProcessor2_0"
        )
    attn.set_processor(stock)
    pipe.unet.fuse_qkv_projections()
    refuses(pipe, [], r"fused projections; call unfuse_qkv_projections\(\) first")
    pipe.unet.unfuse_qkv_projections()
    with (
        pytest.raises(ValueError, match="has no denoiser that can be steered"),
        attach(object(), []),
    ):
        pass


def test_pipelines_with_other_rows_are_refused() -> None:
    """InstructPix2Pix calls its denoiser with three rows a picture."""
    found = {**Studio("sd-inpaint-9").pipe.components, "image_encoder": None}
    pipe = StableDiffusionInstructPix2PixPipeline(**found, requires_safety_checker=False)
    refuses(pipe, [], "has no encode_prompt, by which prompts or steps are known")


def test_compiled_blocks_are_refused() -> None:
    pipe = Studio("sd").pipe
    pipe.unet.mid_block.compile()
    refuses(pipe, [], "pipe: mid_block is compiled")


@pytest.mark.parametrize("scheduler", [PNDMScheduler, UniPCMultistepScheduler])
def test_schedulers_that_throw_latent_edits_away_are_refused(scheduler: Any) -> None:
    studio = Studio("sd")
    settings = {**studio.pipe.scheduler.config, "skip_prk_steps": True}
    studio.pipe.scheduler = scheduler.from_config(settings)
    refuses(
        studio.pipe,
        [LocalBlend(("cat", "tiger"))],
        rf"scheduler: {scheduler.__name__} throws away .*DDIMScheduler.from_config",
    )
    base = studio()
    with attach(studio.pipe, [ReplaceWords()]):  # maps may be edited under any scheduler
        out = studio()
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])


def test_a_scheduler_exchanged_within_the_block_is_noticed() -> None:
    studio = Studio("sd")
    theirs = studio.pipe.scheduler
    with attach(studio.pipe, [KeepLayout()]):
        studio.pipe.scheduler = DDPMScheduler.from_config(theirs.config)
        with pytest.raises(ValueError, match="scheduler was exchanged within attach"):
            studio()
    assert "step" not in vars(theirs)


def test_a_source_and_its_edit_must_start_from_the_same_noise() -> None:
    studio = Studio("sd")
    for other in (torch.Generator(), [torch.Generator().manual_seed(s) for s in (0, 1)], None):
        with (
            attach(studio.pipe, [ReplaceWords()]),
            pytest.raises(ValueError, match="latents: prompt 1 starts from other noise"),
        ):
            studio(generator=other)
    start = torch.randn(1, 4, 16, 16).expand(2, -1, -1, -1)
    with attach(studio.pipe, [ReplaceWords()]):
        studio(generator=None, latents=start)


def test_noise_within_the_run_must_be_the_same_too() -> None:
    studio = Studio("sd")
    studio.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(
        studio.pipe.scheduler.config
    )
    start = torch.randn(1, 4, 16, 16).expand(2, -1, -1, -1)
    for other in (torch.Generator().manual_seed(0), None):
        with (
            attach(studio.pipe, [ReplaceWords()]),
            pytest.raises(ValueError, match="generator: this scheduler adds noise in each step"),
        ):
            studio(generator=other, latents=start)
    base = studio()
    with attach(studio.pipe, [ReplaceWords()]):
        assert torch.equal(studio()[0], base[0])


def test_generators_end_as_after_a_stock_run() -> None:
    studio = Studio("sd")
    studio.pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(
        studio.pipe.scheduler.config
    )
    stock, steered = ([torch.Generator().manual_seed(0) for _ in PROMPTS] for _ in range(2))
    studio(generator=stock)
    with attach(studio.pipe, [ReplaceWords(), RecordMaps(("grass",))]):
        studio(generator=steered)
    for a, b in zip(stock, steered, strict=True):
        assert torch.equal(a.get_state(), b.get_state())


def test_heun_s_half_steps_belong_to_one_step() -> None:
    seen: list[tuple[int, int, int]] = []

    class Watch(Control):
        def acts(self, site: Site, step: Step) -> bool:
            if not seen or seen[-1] != (step.index, step.call, step.count):
                seen.append((step.index, step.call, step.count))
            return False

    studio = Studio("sd")
    studio.pipe.scheduler = HeunDiscreteScheduler.from_config(studio.pipe.scheduler.config)
    with attach(studio.pipe, [Watch()]):
        studio()
    assert seen == [(0, 0, 3), (0, 1, 3), (1, 2, 3), (1, 3, 3), (2, 4, 3)]


def test_image_to_image_counts_the_steps_it_makes() -> None:
    seen = set()

    class Watch(Control):
        def acts(self, site: Site, step: Step) -> bool:
            seen.add((step.index, step.count))
            return False

    studio = Studio("sd-img2img")
    with attach(studio.pipe, [Watch()]):
        studio(num_inference_steps=10, strength=0.4)
    assert seen == {(i, 4) for i in range(4)}


def test_embeddings_have_no_words() -> None:
    studio = Studio("sd")
    cond, uncond = studio.pipe.encode_prompt(PROMPTS, "cpu", 1, True)
    given = {"prompt_embeds": cond, "negative_prompt_embeds": uncond}
    seeds = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    rest = {"num_inference_steps": 2, "output_type": "latent", "height": 32, "width": 32}
    with attach(studio.pipe, [KeepLayout()]):
        studio.pipe(**given, **rest, generator=seeds)
    with (
        attach(studio.pipe, [RefineWords()]),
        pytest.raises(ValueError, match="only embeddings came"),
    ):
        studio.pipe(**given, **rest)


def test_the_two_prompts_of_sdxl_must_agree_under_controls() -> None:
    studio = Studio("sdxl")
    with attach(studio.pipe, []):
        studio(prompt_2=["a dog"] * 2)
    with attach(studio.pipe, [KeepLayout()]), pytest.raises(ValueError, match="prompt_2: both"):
        studio(prompt_2=["a dog"] * 2)
