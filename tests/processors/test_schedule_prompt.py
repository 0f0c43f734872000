"""A scheduled prompt is what diffusers' own callback makes of it, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Control, Prompts, ReplaceWords, SchedulePrompt, Step
from attention_studio.processors.attach import attach
from attention_studio.processors.step import Condition

from .conftest import PROMPTS, SIDE, Studio
from .test_stock import traces

LATER = "a lion on sand"
TWO = PROMPTS[:2]
UNCHANGED: dict[str, Any] = {
    "nothing": (),
    "no stage": ((),),
    "the same text": (((0.0, TWO[0]),), ((0.5, TWO[1]),)),
    "never": (((1.0, LATER),), ((1.0, ""),)),
}


def out(studio: Studio, controls: list[Control], prompts: list[str], **more: Any) -> Tensor:
    with attach(studio.pipe, controls):
        return studio(prompts, **more)


def test_it_is_a_condition() -> None:
    assert isinstance(SchedulePrompt(), Condition)


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd-img2img", "sd-inpaint-9"])
def test_without_a_change_it_is_bit_for_bit_stock(name: str) -> None:
    studio = Studio(name, SIDE // 2)
    base = studio(images=2)
    before = traces(studio.pipe)
    for case, later in UNCHANGED.items():
        assert torch.equal(out(studio, [SchedulePrompt(later)], TWO, images=2), base), case
        assert traces(studio.pipe) == before, case
    assert torch.equal(studio(images=2), base)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_from_the_start_on_it_is_the_other_prompt(guidance: float) -> None:
    studio = Studio("sd")
    wanted = studio([LATER], guidance=guidance)
    found = out(studio, [SchedulePrompt((((0.0, LATER),),))], PROMPTS[:1], guidance=guidance)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("start", "first"), [(0.3, 1), (1 / 3, 1), (0.5, 2), (2 / 3, 2)])
def test_it_equals_an_exchange_of_embeddings_by_the_pipeline_s_callback(
    start: float, first: int
) -> None:
    studio = Studio("sd")
    other = torch.cat(studio.pipe.encode_prompt([LATER], "cpu", 1, True)[::-1])

    def exchange(pipe: Any, step: int, t: Any, kept: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"prompt_embeds": other if step + 1 >= first else kept["prompt_embeds"]}

    wanted = studio(
        PROMPTS[:1],
        callback_on_step_end=exchange,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    found = out(studio, [SchedulePrompt((((start, LATER),),))], PROMPTS[:1])
    assert torch.equal(found, wanted)
    assert not torch.equal(found, studio(PROMPTS[:1]))


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_only_its_own_prompt_changes(name: str) -> None:
    studio = Studio(name)
    base = studio(images=2)
    found = out(studio, [SchedulePrompt(((), ((0.5, LATER),)))], TWO, images=2)
    assert torch.equal(found[:2], base[:2])
    assert not torch.equal(found[2], base[2]) and not torch.equal(found[3], base[3])
    assert not torch.equal(found[2], found[3])


def test_with_the_source_s_text_an_edit_is_the_source_bit_for_bit() -> None:
    """The run's own embeddings are taken, not encoded again in a batch of another shape."""
    studio = Studio("sd")
    base = studio(images=2)
    found = out(studio, [SchedulePrompt(((), ((0.0, TWO[0]),)))], TWO, images=2)
    assert torch.equal(found[2:], base[:2]) and torch.equal(found[:2], base[:2])
    back = out(studio, [SchedulePrompt(((), ((0.0, TWO[0]), (0.5, TWO[1]))))], TWO, images=2)
    assert torch.equal(back[:2], base[:2])
    assert not torch.equal(back[2:], base[2:]) and not torch.equal(back[2:], base[:2])


def test_stages_follow_each_other_and_edits_go_with_them() -> None:
    studio = Studio("sd")
    one = SchedulePrompt(((), ((0.3, LATER),)))
    two = SchedulePrompt(((), ((0.3, LATER), (0.6, "snow"))))
    first, second = (out(studio, [control], TWO) for control in (one, two))
    assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    edited = out(studio, [ReplaceWords(), two], TWO)
    assert torch.equal(edited[0], second[0]) and not torch.equal(edited[1], second[1])


def test_embeddings_in_place_of_prompts_can_be_scheduled() -> None:
    studio = Studio("sd")
    cond, uncond = studio.pipe.encode_prompt(PROMPTS[:1], "cpu", 1, True)
    given = {"prompt_embeds": cond, "negative_prompt_embeds": uncond}
    with attach(studio.pipe, [SchedulePrompt((((0.0, LATER),),))]):
        found = studio.pipe(
            **given,
            num_inference_steps=3,
            guidance_scale=5.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            height=32,
            width=32,
        ).images
    assert torch.equal(found, studio([LATER]))


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ((((0.5, "a"),),) * 3, "came stages for 3 prompts; expected an entry for each of the 2"),
        ((((-0.1, "a"),),), r"came starts \[-0.1\]; expected rising parts of the run"),
        ((((float("nan"), "a"),),), "expected rising parts of the run"),
        ((((0.5, "a"), (0.5, "b")),), r"came starts \[0.5, 0.5\]"),
    ],
)
def test_what_makes_no_sense_is_said(later: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        out(Studio("sd"), [SchedulePrompt(later)], TWO)


def test_without_a_pipeline_there_is_nobody_to_encode() -> None:
    prompts = Prompts(("a",), 1, 1, ())
    with pytest.raises(ValueError, match="no pipeline is there to encode 'b'"):
        SchedulePrompt((((0.5, "b"),),)).bind(prompts)
    assert SchedulePrompt((((0.5, "a"),),)).bind(prompts) is None
    assert not SchedulePrompt().acts(None, Step(0, 0, 1, 0.0))  # type: ignore[arg-type]
