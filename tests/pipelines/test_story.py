"""A story: portraits once, then a rehearsal and a controlled run for each scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from attention_studio.pipelines import STORY_METHODS, Cast, Memories, OnCanvases, Story, dreamstory
from attention_studio.pipelines.assignment import assigned, colour_likeness
from attention_studio.processors import AlignStyle, Control

from ..processors.conftest import SIDE, Studio, sd
from ..processors.joint_pipelines import LENGTH, flux
from ..processors.test_stock import traces

CAST = (Cast("cat", "a cat on grass"), Cast("lion", "a lion on sand"))
SCENE = "a cat and a lion on grass"
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
SIZE = {"height": SIDE, "width": SIDE, "num_inference_steps": 2}
MAKE: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "sd": (sd, SIZE),
    "flux": (flux, {**SIZE, "max_sequence_length": LENGTH}),
}


def halves(image: Image.Image, words: Sequence[str]) -> list[Tensor | None]:
    """A segmenter that sees the first word on the left and the second on the right."""
    width = image.width // 2
    masks = [torch.zeros(image.height, image.width).bool() for _ in range(2)]
    masks[0][:, :width], masks[1][:, width:] = True, True
    return list(masks[: len(words)])


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_further_scene_costs_a_rehearsal_and_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, drawn = sd(), []
    call = type(pipe).__call__

    def counted(self: Any, *args: Any, **more: Any) -> Any:
        drawn.append(len(more["prompt"]))
        return call(self, *args, **more)

    monkeypatch.setattr(type(pipe), "__call__", counted)
    story, before = Story(pipe, CAST, call=SIZE), traces(pipe)
    first = story.scene(SCENE, seed=1)
    assert drawn == [1, 1, 1, 1]
    again = story.scene(SCENE, seed=1)
    assert drawn == [1, 1, 1, 1, 1, 1]
    assert first.image.tobytes() == again.image.tobytes()
    assert first.rehearsal is not None
    assert first.image.tobytes() != first.rehearsal.tobytes()
    assert traces(pipe) == before
    alone = story.scene("a lion on grass", seed=4)
    assert drawn[6:] == [1, 1] and set(alone.places) == {"lion"}


@pytest.mark.parametrize("name", MAKE)
def test_portraits_are_drawn_again_as_they_were(name: str) -> None:
    make, size = MAKE[name]
    seen: list[Image.Image] = []
    pipe = make()
    early = STORY_METHODS["ir-diffusion"]
    story = Story(pipe, CAST, halves, early, call=size, memories=Memories(0))
    portraits = story.portraits()
    draw = story._draw

    def kept(prompts: list[str], seeds: Sequence[int]) -> list[Image.Image]:
        found = draw(prompts, seeds)
        seen.extend(found)
        return found

    story._draw = kept  # type: ignore[method-assign]
    scene = story.scene(SCENE, seed=2)
    assert len(seen) == 4  # the rehearsal; both portraits and the scene
    for found, (_, portrait) in zip(seen[1:3], portraits.items(), strict=True):
        assert np.abs(pixels(found) - pixels(portrait)).max() <= 1  # a batch of three rounds else
    assert np.abs(pixels(seen[0]) - pixels(scene.image)).max() > 1
    assert scene.notes[0].startswith("isolate_subjects kept apart cat (50% of the picture), lion")


def test_a_model_that_does_not_know_its_size_is_asked_for_its_autoencoder_s() -> None:
    story = Story(flux(), CAST[:1], call={"num_inference_steps": 1, "max_sequence_length": LENGTH})
    assert story.portraits()["cat"].size == (SIDE, SIDE)


def test_redrawing_one_portrait_leaves_the_others() -> None:
    story = Story(sd(), CAST, segmenter=halves, call=SIZE)
    before = story.portraits()
    other = story.redraw("lion", 7)
    after = story.portraits()
    assert after["cat"] is before["cat"] and after["lion"] is other
    assert other.tobytes() != before["lion"].tobytes()


def test_places_come_from_the_user_then_the_segmenter_then_words() -> None:
    asked: list[list[str]] = []

    def segmenter(image: Image.Image, words: Sequence[str]) -> list[Tensor | None]:
        asked.append(list(words))
        return halves(image, words)

    story = Story(sd(), CAST, segmenter=segmenter, call=SIZE)
    found = story.scene(SCENE, places={"cat": RIGHT})
    assert found.places["cat"] == RIGHT and isinstance(found.places["lion"], Tensor)
    assert asked[-1] == ["lion"]
    everybody = story.scene(SCENE, places={"cat": RIGHT, "lion": LEFT})
    assert everybody.rehearsal is None  # there was nothing to find
    assert len(asked) == 3 and everybody.places == {"cat": RIGHT, "lion": LEFT}
    by_words = Story(sd(), CAST, call=SIZE).scene(SCENE)
    assert all(bool(mask.any()) for mask in by_words.places.values())


def test_who_is_not_found_is_looked_for_again_then_left_alone() -> None:
    seen = []

    def blind(image: Image.Image, words: Sequence[str]) -> list[Tensor | None]:
        seen.append(image)
        portrait = len(words) == 1
        return [*halves(image, words[:1]), *([] if portrait else [None])]

    story = Story(sd(), CAST, segmenter=blind, call=SIZE)
    found = story.scene(SCENE, seed=3, retries=2)
    assert len(seen) == 2 + 3 and found.seed == 5
    assert found.warnings == ("'lion' was not found in 3 rehearsals and was left alone",)
    assert "lion has no place in the picture and was left alone" in found.notes


def story_rehearsal(pipe: Any) -> Image.Image:
    found: Image.Image = pipe([SCENE], generator=torch.Generator().manual_seed(1), **SIZE).images[0]
    return found


def test_other_methods_and_further_controls() -> None:
    pipe = sd()
    places = {"cat": LEFT, "lion": RIGHT}
    ir = Story(pipe, CAST, halves, call=SIZE).scene(SCENE, places=places)
    dream = Story(pipe, CAST, halves, dreamstory, call=SIZE).scene(SCENE, places=places)
    stock = Story(pipe, CAST, halves, lambda subjects: (), call=SIZE).scene(SCENE, places=places)
    styled = Story(pipe, CAST, halves, call=SIZE).scene(
        SCENE, places=places, controls=[AlignStyle()]
    )
    pictures = [s.image.tobytes() for s in (ir, dream, stock, styled)]
    assert len(set(pictures)) == 4
    rehearsal = story_rehearsal(pipe)
    assert np.abs(pixels(stock.image) - pixels(rehearsal)).max() <= 1


def test_places_are_given_to_whom_they_are_alike() -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    scene = Image.new("RGB", (8, 8), "blue")
    scene.paste("red", (4, 0, 8, 8))
    left, right = halves(scene, ["cat", "dog"])
    whole = (0.0, 0.0, 1.0, 1.0)
    portraits = {"cat": (red, whole), "dog": (blue, whole)}
    assert left is not None and right is not None
    found = assigned(portraits, scene, {"cat": left, "dog": right}, colour_likeness)
    assert torch.equal(found["cat"], right) and torch.equal(found["dog"], left)
    one = assigned(
        portraits, scene, {"cat": left, "dog": torch.zeros(8, 8).bool()}, colour_likeness
    )
    assert torch.equal(one["dog"], left) and not bool(one["cat"].any())
    story = Story(sd(), CAST, halves, assign="hungarian", call=SIZE)
    assert set(story.scene(SCENE).places) == {"cat", "lion"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cast": ()}, r"cast: came \[\]; expected one or more"),
        ({"cast": (CAST[0], CAST[0])}, r"cast: came \['cat', 'cat'\]"),
        ({"assign": "luck"}, "assign: came 'luck'"),
        ({"call": {"prompt": "a"}}, "call: came with prompt"),
    ],
)
def test_a_story_that_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Story(**{"pipe": None, "cast": CAST, **change})


def test_a_scene_that_makes_no_sense() -> None:
    story = Story(Studio("sd").pipe, CAST, halves, call=SIZE)
    with pytest.raises(ValueError, match="came 'a dog'; expected somebody of the cast: cat, lion"):
        story.scene("a dog")
    with pytest.raises(ValueError, match="came 'dog'; expected somebody"):
        story.scene(SCENE, places={"dog": LEFT})
    with pytest.raises(ValueError, match="word: came 'dog'; expected one of cat, lion"):
        story.redraw("dog", 1)
    alone = Story(story.pipe, CAST, halves, assign="user", call=SIZE)
    with pytest.raises(ValueError, match="places: came none for 'cat'"):
        alone.scene(SCENE)
    short = Story(story.pipe, CAST, lambda image, words: [], call=SIZE)
    with pytest.raises(ValueError, match="segmenter: gave 0 masks for 1 words"):
        short.portraits()
    blind = Story(story.pipe, CAST, lambda image, words: [None], call=SIZE)
    with pytest.raises(ValueError, match="'cat' was not found in its own portrait"):
        blind.portraits()
    lost = Story(story.pipe, (Cast("zebra", "a cat"),), call=SIZE)
    with pytest.raises(ValueError, match="'zebra' is not in the prompt"):
        lost.portraits()


@pytest.mark.parametrize("name", STORY_METHODS)
def test_every_method_by_name_leaves_the_portraits(name: str) -> None:
    pipe = sd()
    call = {**SIZE, "num_inference_steps": 4}  # the first is never shared by StoryDiffusion
    story = Story(pipe, CAST, halves, STORY_METHODS[name], call=call)
    portraits, places = story.portraits(), {"cat": LEFT, "lion": RIGHT}
    again = story.scene(SCENE, places=places)
    drawn: list[list[Image.Image]] = []
    draw = story._draw

    def kept(prompts: list[str], seeds: Sequence[int], *output: str) -> list[Image.Image]:
        found = draw(prompts, seeds, *output)
        if not output:  # else it is the first of two runs
            drawn.append(found)
        return found

    story._draw = kept  # type: ignore[method-assign]
    beside = [Control()]  # nobody knows that it changes nothing
    found = story.scene(SCENE, places=places, controls=beside)
    story.method = STORY_METHODS["base"]
    stock = story.scene(SCENE, places=places, controls=beside)
    if isinstance(STORY_METHODS[name], OnCanvases):  # whose portraits are pasted where they stand
        assert found.notes[0] == "place_portraits showed 2 portraits where their subjects stand"
        drawn[0] = drawn[1]
    for one, portrait in zip(drawn[0], portraits.values(), strict=False):
        assert np.abs(pixels(one) - pixels(portrait)).max() <= 1
    assert all(a.tobytes() == b.tobytes() for a, b in zip(drawn[0][:2], drawn[1][:2], strict=True))
    assert (found.image.tobytes() == stock.image.tobytes()) is (name == "base")
    assert bool(found.notes) is (name != "base")
    assert np.abs(pixels(again.image) - pixels(found.image)).max() <= 1  # portraits not beside
    assert again.notes == found.notes and not again.warnings


def test_a_late_method_begins_as_its_rehearsal() -> None:
    pipe, places = sd(), {"cat": LEFT, "lion": RIGHT}
    seen: list[Tensor] = []

    def keep(_: Any, step: int, __: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append(tensors["latents"][-1])
        return tensors

    call = {**SIZE, "num_inference_steps": 4, "callback_on_step_end": keep}
    for name in ("base", "ir-diffusion late", "ir-diffusion"):
        Story(pipe, CAST, halves, STORY_METHODS[name], call=call).scene(SCENE, places=places)
    base, late, early = (seen[i + 8 : i + 12] for i in (0, 12, 24))  # two portraits come first
    torch.testing.assert_close(torch.stack(late[:3]), torch.stack(base[:3]), atol=1e-6, rtol=0)
    assert not torch.allclose(late[3], base[3], atol=1e-4)
    assert not torch.allclose(early[0], base[0], atol=1e-4)


def test_a_portrait_from_before_is_not_drawn_again() -> None:
    first = Story(sd(), CAST, halves, call=SIZE)
    portraits = first.portraits()
    later = Story(sd(), CAST, halves, call=SIZE)
    for word, image in portraits.items():
        later.keep(word, image, first.seat(word))
    assert all(later.portraits()[word] is image for word, image in portraits.items())
    assert later.scene(SCENE).image.tobytes() == first.scene(SCENE).image.tobytes()
    with pytest.raises(ValueError, match="word: came 'dog'; expected one of cat, lion"):
        later.keep("dog", portraits["cat"], LEFT)
