"""Figures of a receipt on pictures whose change is known."""

from __future__ import annotations

import math

import pytest
import torch

from attention_studio.processors import KeepLayout, RecordMaps, ReplaceWords
from attention_studio.processors.attach import attach
from attention_studio.processors.receipt import compare

from .conftest import Studio


def test_known_changes() -> None:
    source, inside = torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.bool)
    inside[:2] = True
    edit = source.clone()
    edit[:, :2] = 0.5
    found = compare(source, edit, inside)
    assert found.changed_inside == pytest.approx(127.5) and found.changed_outside == 0
    assert found.psnr_outside == math.inf and found.effect == "visible" and not found.warnings
    edit[:, 2:] = 0.1
    found = compare(source, edit, inside)
    assert found.psnr_outside == pytest.approx(20.0, abs=1e-4)
    assert found.changed_outside == pytest.approx(25.5, abs=1e-4)


def test_an_edit_without_effect_is_said_so() -> None:
    source = torch.rand(3, 4, 4)
    found = compare(source, source)
    assert found.effect == "none" and found.warnings == ("the controls had no visible effect",)
    assert found.changed_outside is None and found.psnr_outside is None
    assert compare(source, source + 0.5 / 255).effect == "weak"


def test_pictures_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"edit: came \(3, 2, 2\); expected the source's"):
        compare(torch.zeros(3, 4, 4), torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match=r"inside: came \(2, 2\)"):
        compare(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(2, 2, dtype=torch.bool))


def test_a_prompt_that_is_cut_is_named() -> None:
    studio = Studio("sd")
    prompts = ["a cat " + "a" * 71, "a dog " + "a" * 62 + " on wet grass"]
    with attach(studio.pipe, [KeepLayout()]) as run:
        images = studio(prompts, output_type="pt")
    found = run.receipt(list(images)).warnings
    assert "prompt 1 is longer than the text encoder reads; lost: grass" in found
    assert not any("prompt 0" in warning for warning in found)


def test_a_run_gives_receipts_of_its_edits() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [ReplaceWords(), RecordMaps(("grass", "on"))]) as run:
        images = studio(images=2, output_type="pt")
    found = run.receipt(list(images), edit=1, image=1)
    assert set(found.map_shift) == {"grass", "on"}
    assert all(0 <= shift <= 1 for shift in found.map_shift.values())
    with pytest.raises(ValueError, match="images, edit: came 1 pictures and edit 1"):
        run.receipt([images[0]])
