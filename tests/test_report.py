"""The JSON object of a run holds a verdict when the card says the model draws emoji world."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attention_studio.cli import app
from attention_studio.models import Model, describe
from attention_studio.recipe import Recipe
from attention_studio.report import report
from attention_studio.session import Session


@dataclass(frozen=True)
class Scene:
    nouns: tuple[str, ...] = ("cat",)
    colours: tuple[str | None, ...] = (None,)
    boxes: tuple[tuple[float, ...], ...] = ((0.0, 0.0, 0.5, 0.5),)
    background: str = "grass"
    style: str | None = None


@dataclass(frozen=True)
class Score:
    nouns_ok: bool | None = True
    colours_ok: bool | None = None
    relation_ok: bool | None = None
    background_ok: bool | None = False
    style_ok: bool | None = None

    def text(self) -> str:
        return "The cat is there."


@pytest.fixture
def emoji_model(tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The tiny model with a card that says it draws emoji world, and a judge that sees one cat."""
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "emoji"))
    card: dict[str, Any] = {"name": "emoji-tiny", "nouns": ["cat", "dog", "frog", "car", "house"]}
    (folder / "card.json").write_text(json.dumps(card))
    stand_ins = {
        "judge": lambda image: Scene(),
        "expect": lambda prompt: prompt,
        "score": lambda scene, expectation: Score(colours_ok="red" in expectation),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(f"attention_studio.emoji.{name}", stand_in, raising=False)
    return describe(folder)


def test_the_verdict_is_in_the_report(emoji_model: Model) -> None:
    recipe = Recipe(model=str(emoji_model.path), prompts=("a red cat",), steps=1)
    result = Session().run(recipe)
    (picture,) = report(result, ["a.png"])["judge"]["pictures"]  # type: ignore[list-item]
    assert picture["text"] == "The cat is there."
    assert picture["colours_ok"] is True
    assert picture["boxes"] == [[0.0, 0.0, 0.5, 0.5]]


def test_a_general_model_is_not_scored(tiny_sd: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", "base", "--model", str(tiny_sd)])
    assert done.exit_code == 2
    assert "does not draw emoji world" in done.stderr
