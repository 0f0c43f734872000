"""Inputs that are more than latents and two prompts: references, channels, masks, odd calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxKontextPipeline,
    StableDiffusion3Img2ImgPipeline,
)
from PIL import Image

from attention_studio.pipelines.flow_conditioning import condition, flow_sigmas
from attention_studio.pipelines.predict import predict
from attention_studio.processors import (
    Control,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    ReplaceWords,
    ReweightWords,
    Rows,
    SchedulePrompt,
    Site,
    Step,
)
from attention_studio.processors.attach import attach, attached

from .joint_pipelines import JOINT, LENGTH, PROMPTS, SIDE, STEPS, JointStudio, flux, sd3
from .test_stock import traces

EDIT = [ReplaceWords(), KeepLayout(), LocalBlend(("cat", "tiger")), RecordMaps(("grass",))]


def picture(width: int = SIDE, height: int = SIDE) -> Image.Image:
    draw = torch.Generator().manual_seed(width)
    return Image.fromarray((torch.rand(height, width, 3, generator=draw) * 255).byte().numpy())


def pair(pipe: Any, **more: Any) -> Any:
    seeds = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    call = {"num_inference_steps": 2, "output_type": "latent", "max_sequence_length": LENGTH}
    return pipe(prompt=PROMPTS, generator=seeds, **{**call, **more}).images


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "kontext": (
        lambda: flux(FluxKontextPipeline),
        {
            "image": [picture(40, 24)] * 2,
            "_auto_resize": False,
            "max_area": SIDE * SIDE,
            "height": SIDE,
            "width": SIDE,
        },
    ),
    "fill": (
        # 4 latent channels, 4 of the picture and 4 of the mask, each packed by four
        lambda: flux(FluxFillPipeline, in_channels=48, out_channels=16),
        {
            "image": [picture()] * 2,
            "mask_image": [Image.new("L", (SIDE, SIDE), 255)] * 2,
            "height": SIDE,
            "width": SIDE,
        },
    ),
    "flux-img2img": (
        lambda: flux(FluxImg2ImgPipeline),
        {"image": [picture()] * 2, "strength": 0.9, "height": SIDE, "width": SIDE},
    ),
    "sd3-img2img": (
        lambda: sd3(StableDiffusion3Img2ImgPipeline),
        {"image": [picture()] * 2, "strength": 0.9, "height": SIDE, "width": SIDE},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_latents_may_be_a_part_of_what_the_denoiser_reads(kind: str) -> None:
    make, call = KINDS[kind]
    pipe = make()
    base, before = pair(pipe, **call), traces(pipe)
    with attach(pipe, [RecordMaps(("grass",))]) as run:
        assert torch.equal(pair(pipe, **call), base)
    assert run.maps.grids == ((8, 8),)
    with attach(pipe, EDIT):
        out = pair(pipe, **call)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])
    assert traces(pipe) == before


def test_skipped_layers_are_nobody_s() -> None:
    """SD 3.5's skip-layer guidance makes a third call, which no control may touch."""
    studio = JointStudio("sd3")
    skips = {
        "skip_guidance_layers": [1],
        "skip_layer_guidance_start": -1.0,
        "skip_layer_guidance_stop": 2.0,
    }
    base, plain = studio(**skips), studio()
    assert not torch.equal(base, plain)
    calls: list[int] = []

    class Watch(Control):
        def acts(self, site: Site, step: Step) -> bool:
            if site.index == 0:
                calls.append(step.index)
            return False

    with attach(studio.pipe, [Watch()]):
        assert torch.equal(studio(**skips), base)
    assert calls == [0, 1, 2]
    with attach(studio.pipe, [ReplaceWords()]):
        out = studio(**skips)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])


def test_sd3_without_its_t5_has_clip_s_words() -> None:
    pipe = sd3()
    pipe.text_encoder_3 = pipe.tokenizer_3 = None
    size = {"height": SIDE, "width": SIDE}
    base = pair(pipe, **size)
    with attach(pipe, EDIT):
        out = pair(pipe, **size)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])


def test_the_second_prompt_must_be_the_first() -> None:
    for name, other in (("flux", "prompt_2"), ("sd3", "prompt_3")):
        studio = JointStudio(name)
        with attach(studio.pipe, []):
            studio(**{other: ["a dog"] * 2})
        with attach(studio.pipe, [KeepLayout()]), pytest.raises(ValueError, match=other):
            studio(**{other: ["a dog"] * 2})


def test_other_processors_and_split_tokens_are_refused() -> None:
    pipe = JointStudio("flux").pipe
    attn = pipe.transformer.transformer_blocks[0].attn
    stock = attn.processor
    attn.processor = lambda *_: None
    sentence = "holds function; expected FluxAttnProcessor"
    with pytest.raises(ValueError, match=sentence), attach(pipe, []):
        pass
    attn.processor = stock
    stock._parallel_config = object()
    with pytest.raises(ValueError, match="context parallelism"), attach(pipe, []):
        pass
    del stock._parallel_config
    pipe.transformer.fuse_qkv_projections()
    with pytest.raises(ValueError, match="fused projections"), attach(pipe, []):
        pass


def test_a_backend_set_meanwhile_is_the_stock_processor_s() -> None:
    studio = JointStudio("flux")
    base = studio()
    attn = studio.pipe.transformer.transformer_blocks[0].attn
    with attach(studio.pipe, [Control()]):
        attn.processor._attention_backend = "native"
        assert attn.processor.replaced._attention_backend == "native"
        assert torch.equal(studio(), base)
    assert attn.processor._attention_backend == "native"
    sd3_attn = JointStudio("sd3").pipe.transformer.transformer_blocks[0].attn
    assert not hasattr(sd3_attn.processor, "_attention_backend")


def test_masks_of_the_caller_hold_too() -> None:
    """FLUX takes one over all pairs; the edit sees no more than it says."""
    studio = JointStudio("flux")
    N = LENGTH + 64
    mask = torch.ones(1, 1, N, N, dtype=torch.bool)
    mask[..., LENGTH:, 5:9] = False
    call = {"joint_attention_kwargs": {"attention_mask": mask}}
    base = studio(**call)
    assert not torch.equal(base, studio())
    with attach(studio.pipe, [ReplaceWords(), RecordMaps(("grass",))]):
        out = studio(**call)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])


@pytest.mark.parametrize("name", ["flux", "sd3", "qwen"])
def test_the_loop_by_hand_is_the_pipeline_s(name: str) -> None:
    studio, guidance = JointStudio(name), 3.0
    pipe = studio.pipe
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(1, *((4, 16, 16) if name == "sd3" else (64, 16)), generator=draw)
    start = start.repeat(2, *[1] * (start.ndim - 1))
    controls = [ReplaceWords(), KeepLayout()]
    negative = ["sand"] * 2
    with attach(pipe, controls):
        wanted = studio(latents=start, negative_prompt=negative)
    latents = start
    with torch.no_grad(), attach(pipe, controls) as run:
        assert attached(pipe) is run
        length = None if name == "qwen" else LENGTH
        told = condition(pipe, PROMPTS, negative, (16, 16), max_sequence_length=length)
        timesteps, _ = flow_sigmas(pipe, STEPS, (16, 16))
        for i, t in enumerate(timesteps):
            out = predict(pipe, latents, Step(i, i, STEPS, t), told, guidance)
            latents = pipe.scheduler.step(out, t, latents, return_dict=False)[0]
    assert torch.equal(latents, wanted)


def test_embeddings_of_unknown_origin_are_refused() -> None:
    studio = JointStudio("flux")

    def other(pipe: Any, step: int, t: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_embeds": given["prompt_embeds"].clone()}

    asked = {"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with attach(studio.pipe, [KeepLayout()]), pytest.raises(ValueError, match="has not just given"):
        studio(callback_on_step_end=other, **asked)


def test_prompts_may_be_encoded_by_hand_first() -> None:
    """Embeddings have no words, but these were made within the block."""
    studio = JointStudio("flux")
    base = studio(guidance=1.0)
    seeds = [torch.Generator().manual_seed(0) for _ in PROMPTS]
    call = {"num_inference_steps": STEPS, "output_type": "latent", "height": SIDE, "width": SIDE}
    with attach(studio.pipe, [ReplaceWords()]), torch.no_grad():
        wanted = studio(guidance=1.0)
        embeds, pooled, _ = studio.pipe.encode_prompt(PROMPTS, max_sequence_length=LENGTH)
        given = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
        out = studio.pipe(**given, **call, generator=seeds).images
    assert torch.equal(out, wanted) and not torch.equal(out, base)


def test_a_call_that_broke_off_is_noticed() -> None:
    studio = JointStudio("flux")
    with attach(studio.pipe, [ReplaceWords()]):
        with pytest.raises(ValueError, match="list of generators"):
            studio(generator=[torch.Generator()])
        with pytest.raises(ValueError, match="broke off before its loop; attach anew"):
            studio(guidance=1.0)


def test_a_schedule_in_a_model_without_padding_is_refused() -> None:
    pipe = JointStudio("qwen").pipe
    later = SchedulePrompt(((), ((0.5, "a lion on sand"),)))
    with pytest.raises(ValueError, match="as many tokens as their text"), attach(pipe, [later]):
        pass


@pytest.mark.parametrize("name", JOINT)
def test_the_source_can_be_weighed_and_negative_weights_cannot(name: str) -> None:
    studio = JointStudio(name)
    base = studio(PROMPTS[:1])
    with attach(studio.pipe, [ReweightWords({"cat": 4.0}, rows=Rows.COND)]):
        assert not torch.equal(studio(PROMPTS[:1]), base)
    with (
        attach(studio.pipe, [ReweightWords({"cat": -1.0}, rows=Rows.COND)]),
        pytest.raises(ValueError, match="in joint attention rows stay"),
    ):
        studio(PROMPTS[:1])
    assert torch.equal(studio(PROMPTS[:1]), base)
