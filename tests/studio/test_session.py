"""A session: what a run gives, what it leaves behind, cancelling, previews, memory, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attention_studio import Recipe, Session, load
from attention_studio.device import UnavailableError
from attention_studio.drawing import Watch
from attention_studio.edit_recipe import edit_recipe as p2p_recipe
from attention_studio.gallery import Gallery
from attention_studio.pipelines.prompt_to_prompt import StableDiffusionPromptToPromptPipeline
from attention_studio.processors import Cancelled
from attention_studio.result import Result

from ..hostile_prompts import HOSTILE
from .conftest import CAT, DOG


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_an_edit_gives_everything(edit_run: Result) -> None:
    assert [image.size for image in edit_run.images] == [(32, 32)] * 2
    assert len(edit_run.plain) == 1
    assert not same(edit_run.images[0], edit_run.images[1])
    source, edit = edit_run.maps["grass"]
    assert source is not None and edit is not None and source.shape == edit.shape
    assert edit_run.maps["dog"][0] is None
    (receipt,) = edit_run.receipts
    assert receipt.changed_inside is not None and receipt.effect in ("weak", "visible")
    assert set(receipt.map_shift) == {"grass"}
    assert edit_run.recipe.size == (32, 32)
    assert set(edit_run.timings) == {"load", "generate", "judge", "plain"}
    assert dict(edit_run.made) == {
        "scheduler": "DDIMScheduler",
        "device": "cpu",
        "dtype": "float32",
    }


def test_it_is_the_pipeline_s_own_edit(
    edit_run: Result, edit_recipe: Recipe, tiny_sd: Path
) -> None:
    """The same pictures as with Prompt-to-Prompt as a pipeline, bit for bit."""
    pipe = StableDiffusionPromptToPromptPipeline.from_pipe(load(tiny_sd))
    pipe.set_progress_bar_config(disable=True)
    from attention_studio.build import build

    found = pipe(
        list(edit_recipe.prompts),
        controls=build(edit_recipe)[2:],
        seed=edit_recipe.seed,
        num_inference_steps=edit_recipe.steps,
        guidance_scale=edit_recipe.guidance,
        height=32,
        width=32,
    )
    assert all(same(a, b) for a, b in zip(found.images, edit_run.images, strict=True))


def test_plain_pictures_are_stock_pictures(edit_run: Result, session: Session) -> None:
    """On the same noise, so the recipe that a plain PNG carries draws it again."""
    alone = edit_run.recipe.model_copy(update={"prompts": (DOG,), "controls": ()})
    assert same(session.run(alone).images[0], edit_run.plain[0])
    assert not same(edit_run.images[1], edit_run.plain[0])


def test_an_edit_is_shown_before_its_plain_picture(
    session: Session, edit_run: Result, edit_recipe: Recipe, tmp_path: Path
) -> None:
    steps: list[int] = []
    early: list[tuple[int, Result]] = []
    whole = session.run(
        edit_recipe,
        plain=True,
        progress=lambda done, _: steps.append(done),
        drawn=lambda result: early.append((len(steps), result)),
    )
    ((after, first),) = early
    assert (after, len(steps)) == (edit_recipe.steps, 2 * edit_recipe.steps)
    assert first.plain == ()
    assert (first.images, first.receipts, first.maps) == (whole.images, whole.receipts, whole.maps)
    assert same(whole.plain[0], edit_run.plain[0])

    at_once, in_turn = Gallery(tmp_path / "a"), Gallery(tmp_path / "b")
    assert len(at_once.save(whole)) == len(in_turn.save(first)) == 2
    assert len(in_turn.save_plain(whole)) == 1
    names = [{path.name for path in g.folder.rglob("*.png")} for g in (at_once, in_turn)]
    assert names[0] == names[1]
    listed = [[(e.run, e.index, e.role) for e in g.newest(plain=True)] for g in (at_once, in_turn)]
    assert sorted(listed[0]) == sorted(listed[1])


def test_a_run_leaves_the_pipeline_stock(session: Session, edit_recipe: Recipe) -> None:
    stock = Recipe(model=edit_recipe.model, prompts=(CAT, DOG), steps=2, seed=9)
    before = session.run(stock)
    with pytest.raises(Cancelled):
        session.run(edit_recipe, cancel=lambda: True)
    after = session.run(stock)
    assert all(same(a, b) for a, b in zip(before.images, after.images, strict=True))


def test_cancel_ends_within_one_step(session: Session, edit_recipe: Recipe) -> None:
    seen: list[int] = []
    recipe = edit_recipe.model_copy(update={"steps": 9})
    with pytest.raises(Cancelled):
        session.run(
            recipe, progress=lambda done, _: seen.append(done), cancel=lambda: len(seen) >= 3
        )
    assert seen == [1, 2, 3]


def test_progress_counts_every_step(session: Session, edit_recipe: Recipe) -> None:
    seen: list[tuple[int, int]] = []
    session.run(edit_recipe, plain=True, progress=lambda *step: seen.append(step))
    assert seen == [(i, 4) for i in range(1, 5)]
    seen.clear()
    two = Recipe(model=edit_recipe.model, prompts=(CAT, DOG), steps=2)
    session.run(two, progress=lambda *step: seen.append(step))
    assert seen == [(i, 4) for i in range(1, 5)]


def test_previews_become_the_picture(session: Session, edit_recipe: Recipe) -> None:
    shown: list[Image.Image] = []
    session.run(edit_recipe, preview=shown.append)
    assert [image.size for image in shown] == [(64, 32)] * 2


def test_controls_without_a_source_steer_each_prompt(session: Session, edit_recipe: Recipe) -> None:
    weigh = {"control": "reweight_words", "weights": {"grass": 8.0, "dog": -6.0}}
    recipe = Recipe(model=edit_recipe.model, prompts=(CAT, DOG), steps=2, controls=(weigh,))
    found = session.run(recipe, plain=True)
    assert len(found.plain) == len(found.receipts) == 2
    assert not same(found.images[1], found.plain[1])
    stock = session.run(recipe.model_copy(update={"controls": ()}))
    assert all(same(a, b) for a, b in zip(stock.images, found.plain, strict=True))


def test_recording_keeps_the_bits(session: Session, edit_recipe: Recipe) -> None:
    record = {"control": "record_maps", "words": ["grass"]}
    recipe = Recipe(model=edit_recipe.model, prompts=(CAT,), steps=2, controls=(record,))
    found = session.run(recipe)
    stock = session.run(recipe.model_copy(update={"controls": ()}))
    assert same(found.images[0], stock.images[0])
    (heat,) = found.maps["grass"]
    assert heat is not None and 0 < heat.max() <= 1


def test_a_scheduler_that_throws_edits_away_is_exchanged(
    edit_recipe: Recipe, tiny_sd: Path
) -> None:
    from diffusers import PNDMScheduler

    session = Session(str(tiny_sd))
    session.warm()
    pipe = session._pipe
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config)
    found = session.run(edit_recipe)
    assert any("DDIMScheduler drew these pictures" in warning for warning in found.warnings)
    assert found.made["scheduler"] == "DDIMScheduler"
    assert type(pipe.scheduler) is PNDMScheduler


def test_two_threads_wait_for_each_other(session: Session, edit_recipe: Recipe) -> None:
    recipes = [edit_recipe.model_copy(update={"seed": seed}) for seed in (1, 2)]
    alone = [session.run(recipe).images[1] for recipe in recipes]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda recipe: session.run(recipe).images[1], recipes))
    assert all(same(a, b) for a, b in zip(alone, both, strict=True))


def test_another_model_takes_the_place_of_the_first(tiny_sd: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tiny_sd)
    session = Session(str(tiny_sd), folders=[tmp_path])
    session.warm()
    first = session._pipe
    session.run(Recipe(model="linked", prompts=(CAT,), steps=1))
    assert session.model == "linked" and session._pipe is not first
    with pytest.raises(ValueError, match="no such folder"):
        session.run(Recipe(model="nowhere", prompts=(CAT,), steps=1))
    assert session.model == "linked" and session.loaded


def test_words_are_those_the_model_reads(session: Session) -> None:
    assert session.words("a cat, a Café") == ("a", "cat", "Café")
    assert session.words("") == ()
    assert len(session.words(" ".join(f"w{i}" for i in range(200)))) < 60


def test_any_text_can_be_edited(session: Session) -> None:
    """With the words recorded that the command `edit` would record."""
    for prompt in HOSTILE:
        words = [word for word in session.words(prompt) if len(word) > 2][:10]
        recipe = p2p_recipe(prompt, [f"{prompt} big"], words=words, model=session.model, steps=1)
        found = session.run(recipe)
        assert found.recipe.prompts[0] == prompt
        assert set(found.maps) == set(words)


def test_what_does_not_fit_is_refused_before_it_runs(
    session: Session, edit_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = session.estimate(edit_recipe)
    assert session.estimate(edit_recipe.model_copy(update={"size": (64, 64)})) == 4 * needed
    monkeypatch.setattr("attention_studio.session.free_bytes", lambda device: needed - 1)
    with pytest.raises(UnavailableError, match=r"memory: .* choose a smaller size"):
        session.run(edit_recipe)


def test_latents_that_are_no_numbers_are_never_a_picture() -> None:
    watch = Watch(1, 1)
    with pytest.raises(UnavailableError, match=r"step 1: .* float32"):
        watch(None, 0, None, {"latents": torch.tensor([float("nan")])})
