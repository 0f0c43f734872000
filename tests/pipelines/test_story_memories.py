"""Scenes that read remembered portraits are those in which portraits are drawn beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from attention_studio.pipelines import STORY_METHODS, Memories, Story
from attention_studio.pipelines.model_state import model_state
from attention_studio.pipelines.portrait_memories import sites_read
from attention_studio.processors import AlignStyle, Control, RecordMaps, ShareSubjects

from ..processors.conftest import SIDE, sd, sdxl
from ..processors.joint_pipelines import LENGTH, flux, qwen
from ..processors.test_stock import traces
from .test_story import CAST, LEFT, RIGHT, SCENE, halves

PLACES = {"cat": LEFT, "lion": RIGHT}
SMALL = {"height": SIDE // 2, "width": SIDE // 2, "num_inference_steps": 2}


class Last:
    """Keeps the last picture's latents after each step."""

    latents: Tensor

    def __call__(self, _: Any, __: int, ___: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        self.latents = tensors["latents"][-1].clone()
        return tensors


@contextmanager
def counted(pipe: Any) -> Iterator[list[int]]:
    """Rows of each call of the denoiser."""
    rows: list[int] = []
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    hook = denoiser.register_forward_hook(lambda _, __, out: rows.append(len(out[0])))
    yield rows
    hook.remove()


@pytest.mark.parametrize(
    ("make", "guidance", "methods"),
    [
        (sd, 1.0, ["consistory", "ir-diffusion"]),
        (sdxl, 3.0, ["storydiffusion", "ir-diffusion"]),
        (sdxl, 1.0, ["dreamstory"]),
        (flux, 1.0, ["style-aligned", "ir-diffusion"]),
    ],
    ids=lambda of: getattr(of, "__name__", None),
)
def test_a_scene_is_as_if_portraits_were_drawn_beside(
    make: Callable[[], Any], guidance: float, methods: Sequence[str]
) -> None:
    pipe, shared, last = make(), Memories(), Last()
    more = {"max_sequence_length": LENGTH, "height": SIDE, "width": SIDE} if make is flux else {}
    call = {**SMALL, **more, "callback_on_step_end": last}
    stock = Story(pipe, CAST, call=call).look(SCENE, 1, ())[0]
    before, own = traces(pipe), 2 if guidance > 1 else 1
    for name in methods:
        story = Story(pipe, CAST, halves, STORY_METHODS[name], guidance=guidance, call=call)
        story.scene(SCENE, places=PLACES, controls=[Control()])
        beside, story.memories = last.latents, shared
        story.remember()
        with counted(pipe) as rows:
            scene = story.scene(SCENE, places=PLACES)
        assert set(rows) == {own} and len(rows) == 2 + (name == "consistory")
        assert scene.notes and not scene.warnings
        error = float((last.latents - beside).abs().max())
        assert error <= 1e-5 * float(beside.abs().max())
    assert traces(pipe) == before and shared.used_bytes > 0
    assert Story(pipe, CAST, call=call).look(SCENE, 1, ())[0].tobytes() == stock.tobytes()


def test_a_further_scene_makes_calls_of_its_own_rows_alone() -> None:
    pipe = sd()
    story = Story(pipe, CAST, halves, call=SMALL)
    with counted(pipe) as rows:
        story.scene(SCENE)
        assert rows == [2] * 8  # two portraits, a rehearsal, a scene, two steps each
        used = story.memories.used_bytes
        story.scene("a cat on sand")
        assert rows == [2] * 12 and story.memories.used_bytes == used
        given = Story(pipe, CAST, halves, call=SMALL)
        for word, image in story.portraits().items():
            given.keep(word, image, story.seat(word))
        given.scene(SCENE)  # portraits from before are drawn once more, for their memories
        given.scene(SCENE)
        assert rows == [2] * (12 + 8 + 4)


def louder(story: Story) -> None:
    with torch.no_grad():
        story.pipe.unet.conv_in.weight.mul_(1.1)


def other_words(story: Story) -> None:
    story.pipe.text_encoder.get_input_embeddings().weight.data.mul_(1.5)  # no version counts this


def other_scheduler(story: Story) -> None:
    story.pipe.scheduler = EulerDiscreteScheduler.from_config(story.pipe.scheduler.config)


def another_call(story: Story) -> None:
    story.call = {"height": SIDE, "width": SIDE, "num_inference_steps": 2}
    for word in PLACES:
        story.keep(word, Image.new("RGB", (SIDE, SIDE)), LEFT)


CHANGES: dict[str, tuple[int, Callable[[Story], object]]] = {
    "weights": (2, louder),
    "text encoder": (2, other_words),
    "FreeU": (2, lambda story: story.pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)),
    "scheduler": (2, other_scheduler),
    "guidance": (2, lambda story: setattr(story, "guidance", 2.0)),
    "negative": (2, lambda story: setattr(story, "negative", "sand")),
    "seed": (1, lambda story: story.redraw("lion", 7)),
    "seat": (0, lambda story: story.keep("cat", Image.new("RGB", (16, 16)), RIGHT)),
    "steps and size": (2, another_call),
    "method": (2, lambda story: setattr(story, "method", STORY_METHODS["style-aligned"])),
}
"""What may change, and of how many portraits it does."""


def test_nothing_stale_is_read() -> None:
    story = Story(sd(), CAST, halves, call={**SMALL, "num_inference_steps": 1})
    scenes = [story.scene(SCENE, places=PLACES).image]
    for name, (portraits, change) in CHANGES.items():
        with counted(story.pipe) as rows:
            change(story)
            scenes.append(story.scene(SCENE, places=PLACES).image)
            assert len(rows) == story.call["num_inference_steps"] * (portraits + 1), name
    story.memories = Memories()
    assert story.scene(SCENE, places=PLACES).image.tobytes() == scenes[-1].tobytes()
    assert len({scene.tobytes() for scene in scenes}) == 1 + len(CHANGES)


def test_beyond_the_budget_portraits_are_drawn_beside_and_it_is_said() -> None:
    pipe = sd()
    story = Story(pipe, CAST, halves, call=SMALL)
    story.portraits()
    needed = story.memories.used_bytes
    one = Story(pipe, CAST, halves, call=SMALL, memories=Memories(needed - 1))
    for word, image in story.portraits().items():
        one.keep(word, image, story.seat(word))
    with counted(pipe) as rows:
        scene = one.scene(SCENE, places=PLACES)
        assert rows == [2, 2, 2, 6, 6]  # of the lion's portrait one step said that it is too large
        again = one.scene(SCENE, places=PLACES)
        assert rows[5:] == [6, 6] and again.image.tobytes() == scene.image.tobytes()
        alone = one.scene("a cat on grass", places={"cat": LEFT})
        assert rows[7:] == [2, 2]
    (said,) = scene.warnings
    assert said.endswith("GiB, so portraits were drawn again beside the scene")
    assert again.warnings == scene.warnings and not alone.warnings
    beside = story.scene(SCENE, places=PLACES, controls=[Control()])
    assert beside.image.tobytes() == scene.image.tobytes() and not beside.warnings
    one.memories.budget_bytes = needed
    with counted(pipe) as rows:
        assert not one.scene(SCENE, places=PLACES).warnings
        assert rows == [2] * 4


def test_where_portraits_have_to_be_beside() -> None:
    pipe = sd()
    sites = {site for site in pipe.unet.attn_processors if "attn1" in site}
    styled = sites_read(pipe, [AlignStyle(prompts=(2,))], 2)
    assert styled == {site.removesuffix(".processor") for site in sites}
    assert sites_read(pipe, [], 2) == frozenset()
    for control in (
        Control(),
        RecordMaps(("cat",)),
        AlignStyle(),
        AlignStyle(prompts=(1, 2)),
        ShareSubjects(("cat",), anchors=(0,), prompts=(2,)),
    ):
        assert sites_read(pipe, [control], 2) is None
    assert sites_read(qwen(), [], 2) is None


def test_the_state_of_a_model() -> None:
    pipe = sd()
    state = model_state(pipe)
    assert state == model_state(pipe)
    pipe.unet.to(torch.float16)
    assert state != model_state(pipe)
    pipe.unet.to("meta")
    assert model_state(pipe) != model_state(pipe)
