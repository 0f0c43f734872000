"""Steps up in recipes: the picture is enlarged and drawn over, replays, and old recipes stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from attention_studio import Recipe, Session
from attention_studio.app.resolution_draft import ResolutionDraft, beside, outlook
from attention_studio.drawing_finer import check_finer
from attention_studio.finer_spec import finer_sizes
from attention_studio.models import describe
from attention_studio.stored import read_stored

from ..processors.conftest import sd
from ..processors.joint_pipelines import flux, qwen, sd3
from .conftest import CAT, DOG, call


def test_a_picture_is_enlarged_and_drawn_over(session: Session, tiny_sd: Path) -> None:
    recipe = Recipe(
        model=str(tiny_sd),
        prompts=(CAT, DOG),
        steps=2,
        finer=({"factor": 1.25, "strength": 0.5}, {"factor": 1.2, "strength": 1, "tiled": True}),  # type: ignore[arg-type]
    )
    told: list[tuple[int, int]] = []
    found = session.run(recipe, progress=lambda *at: told.append(at))
    assert [image.size for image in found.images] == [(48, 48)] * 2
    assert told[-1] == (10, 10), "2 + 1 + 2 steps of each picture"
    small = session.run(recipe.model_copy(update={"finer": ()}))
    assert [image.size for image in small.images] == [(32, 32)] * 2
    again = session.run(recipe.model_copy(update={"prompts": (CAT,)}))
    assert np.array_equal(np.asarray(again.images[0]), np.asarray(found.images[0]))
    told.clear()
    (first, second) = session.run_together(
        [recipe, recipe.model_copy(update={"seed": 3})], progress=lambda *at: told.append(at)
    )
    assert told[-1] == (20, 20)
    assert np.array_equal(np.asarray(first.images[1]), np.asarray(found.images[1]))
    assert second.images[0].size == (48, 48)


def test_the_command_keeps_it_in_the_picture(tiny_sd: Path, tmp_path: Path) -> None:
    more = '{"factor": 1.2, "strength": 0.5}'
    made = call(
        *("generate", "--model", tiny_sd, "--out", tmp_path, "--steps", 2, "--prompt", CAT),
        *("--finer", "1.25", "--finer", more, "--json", "--quiet"),
    )
    assert made.exit_code == 0, made.output
    (path,) = json.loads(made.stdout)["images"]
    assert Image.open(path).size == (48, 48)
    stored = read_stored(Path(path)).recipe
    assert stored is not None
    assert [step.factor for step in stored.finer] == [1.25, 1.2]
    again = call("replay", path, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output


def test_recipes_without_it_are_written_as_before() -> None:
    assert "finer" not in Recipe(prompts=(CAT,)).model_dump()
    assert "finer" not in json.loads(Recipe(prompts=(CAT,)).model_dump_json())
    made = Recipe(prompts=(CAT,), finer=({"factor": 2},))  # type: ignore[arg-type]
    assert Recipe.model_validate(made.model_dump()) == made
    assert made.digest != Recipe(prompts=(CAT,)).digest


def test_what_makes_no_sense_is_one_sentence(session: Session, tiny_sd: Path) -> None:
    with pytest.raises(ValidationError, match="finer: came with an edit"):
        Recipe(prompts=(CAT, DOG), controls=("p2p",), finer=({},))  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="finer: ends at 131072 pixels"):
        Recipe(prompts=(CAT,), size=(2048, 512), finer=({"factor": 4},) * 3)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="ntk: came 10 without windows"):
        Recipe(prompts=(CAT,), finer=({"ntk": 10},))  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"finer: strength 0\.1 of 2 steps leaves none"):
        Recipe(prompts=(CAT,), steps=2, finer=({"strength": 0.1},))  # type: ignore[arg-type]
    own = Recipe(model=str(tiny_sd), prompts=(CAT,), finer=({"factor": 4},) * 4)  # type: ignore[arg-type]
    assert finer_sizes((32, 32), own.finer)[-1] == (8192, 8192)
    with pytest.raises(ValueError, match="finer: ends at 32768 pixels"):
        finer_sizes((128, 128), own.finer)
    windows = Recipe(model=str(tiny_sd), prompts=(CAT,), finer=({"radius": 8},))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finer: a radius came for StableDiffusionPipeline"):
        session.run(windows)


def test_sizes_are_whole_tokens() -> None:
    finer = Recipe(prompts=(CAT,), finer=({"factor": 1.3}, {"factor": 1.3})).finer  # type: ignore[arg-type]
    assert finer_sizes((128, 64), finer, 8) == [(168, 80), (216, 112)]


@pytest.mark.parametrize("make", [flux, sd3, qwen, sd])
def test_a_model_says_unloaded_what_its_pipeline_takes(
    make: Callable[[], Any], tiny_sd: Path
) -> None:
    pipe = make()
    model = replace(describe(tiny_sd), family=type(pipe).__name__)
    windows = ResolutionDraft(ntk=1.0).recipe()
    for recipe, taken in (
        (windows, model.has_windows),
        (ResolutionDraft().recipe(), model.has_base),
        (ResolutionDraft().on(model).recipe(), True),
    ):
        try:
            check_finer(pipe, recipe)
        except ValueError:
            assert not taken
        else:
            assert taken


def test_windows_and_full_attention_from_one_seed(tmp_path: Path) -> None:
    flux().save_pretrained(tmp_path / "flux")
    model = describe(tmp_path / "flux")
    draft = ResolutionDraft(
        CAT, radii=(2.0, 2.0), ntk=3.0, model=str(model.path), size=(32, 32), steps=2, guidance=1
    )
    recipe = draft.on(model).recipe()
    dense = beside(recipe, "dense", model)
    assert dense is not None
    own, seen = Session(recipe.model), dict[int, None]()
    own.warm()
    watch = own.pipe.transformer.register_forward_pre_hook(
        lambda _m, _a, given: seen.update({given["hidden_states"].shape[1]: None}), with_kwargs=True
    )
    found, full = own.run(recipe), own.run(dense)
    assert found.images[0].size == full.images[0].size == (64, 64)
    assert not np.array_equal(np.asarray(found.images[0]), np.asarray(full.images[0]))
    watch.remove()
    again = own.run(recipe)
    assert np.array_equal(np.asarray(again.images[0]), np.asarray(found.images[0]))
    said = outlook(recipe, model)
    assert len(said) == len(seen) == 2
    for count, line in zip(seen, said, strict=True):
        assert f" = {count} tokens" in line
