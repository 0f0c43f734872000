"""One warm session on the tiny random pipeline for all tests of the studio."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attention_studio import Recipe, Session
from attention_studio.cli import app
from attention_studio.result import Result as Run

CAT, DOG = "a cat on grass", "a dog on grass"


@pytest.fixture(scope="session")
def session(tiny_sd: Path) -> Session:
    return Session(str(tiny_sd))


@pytest.fixture(scope="session")
def edit_recipe(tiny_sd: Path) -> Recipe:
    """A swap with everything that a Prompt-to-Prompt edit can have, two steps."""
    return Recipe(
        model=str(tiny_sd),
        prompts=(CAT, DOG),
        seed=5,
        steps=2,
        controls=(
            "p2p",
            {"control": "local_blend", "words": ["cat", "dog"], "threshold": 0.9},
            {"control": "record_maps", "words": ["grass", "dog"]},
        ),
    )


@pytest.fixture(scope="session")
def edit_run(session: Session, edit_recipe: Recipe) -> Run:
    return session.run(edit_recipe, plain=True)


def call(*args: object, given: str | None = None) -> Result:
    """The command line, in this process."""
    return CliRunner().invoke(app, [str(arg) for arg in args], input=given)
