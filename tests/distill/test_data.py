"""What steps are made of: pictures drawn together, batches, learning rates and losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attention_studio.distill import data, distill
from attention_studio.distill.data import Data
from attention_studio.distill.losses import Losses
from attention_studio.distill.settings import Distillation
from attention_studio.distill.teacher import draw_pictures

from ..processors.joint_pipelines import JointStudio
from .test_distill import PROMPTS, SETTINGS, losses


def test_pictures_drawn_together_are_those_drawn_alone(tmp_path: Path) -> None:
    studio = JointStudio("flux")
    told: list[tuple[int, int]] = []
    batches = []
    for count in (1, 2):
        pictures = draw_pictures(
            *(studio.pipe, PROMPTS, replace(SETTINGS, drawn_batch=count), tmp_path / str(count)),
            progress=lambda *at: told.append(at),
        )
        batches.append(pictures.all(empty=True))
    assert told == [(1, 3), (2, 3), (3, 3), (2, 3), (3, 3)]
    for one, two in zip(*(vars(batch).values() for batch in batches), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert batches[0].latents.shape[0] == 3 and batches[0].context.shape[0] == 4
    # those that are there are no others, however many are drawn at once
    again = draw_pictures(studio.pipe, PROMPTS, SETTINGS, tmp_path / "1")
    assert torch.equal(again.all(empty=False).latents, batches[0].latents)


def test_batches_are_the_same_from_memory_and_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = JointStudio("flux").pipe
    pictures = draw_pictures(pipe, PROMPTS, SETTINGS, tmp_path)
    assert pictures.nbytes == 3 * 4 * (64 * 16 + 24 * 32 + 16) and pictures.texts == 24
    settings, made = replace(SETTINGS, unprompted=0.5, batch=5), []
    for room in (2**30, 0):
        monkeypatch.setattr(data, "_ROOM", room)
        made.append(Data(pipe, pictures, settings, torch.device("cpu")).draw(7))
    for name, one in vars(made[0]).items():
        two = vars(made[1])[name]
        if name == "late":
            assert one is two is False
            continue
        pairs = zip(one.values(), two.values(), strict=True) if name == "added" else [(one, two)]
        assert all(torch.equal(*pair) for pair in pairs), name
    first = made[0].context
    assert any(torch.equal(first[0], other) for other in first[1:]), "the empty prompt, twice"


def test_two_batches_in_three_are_of_the_first_half_where_the_second_has_its_own_window(
    tmp_path: Path,
) -> None:
    pipe = JointStudio("flux").pipe
    middle = pipe.scheduler.sigmas.float().median()
    pictures = draw_pictures(pipe, PROMPTS, SETTINGS, tmp_path)
    halves = Data(pipe, pictures, replace(SETTINGS, late=1.0, batch=8), torch.device("cpu"))
    for turn in range(6):
        given = halves.draw(turn)
        assert given.late == (turn in (2, 5))
        assert ((given.sigma < middle) == given.late).all()


def test_levels_of_a_batch_are_spread_evenly(tmp_path: Path) -> None:
    pipe = JointStudio("flux").pipe
    known = pipe.scheduler.sigmas.float()  # before a run changes them
    pictures = draw_pictures(pipe, PROMPTS, SETTINGS, tmp_path)
    drawn = Data(pipe, pictures, replace(SETTINGS, batch=10), torch.device("cpu"))
    starts = set()
    for turn in range(5):
        levels = [int((known - sigma).abs().argmin()) for sigma in drawn.draw(turn).sigma]
        for part in range(10):  # each tenth of the levels has one
            assert sum(part <= 10 * level / len(known) < part + 1 for level in levels) == 1
        starts.add(min(levels))
    assert len(starts) == 5


def test_the_rate_rises_and_falls() -> None:
    plain = Distillation(steps=10, learning_rate=1.0, warmup_steps=2)
    assert [plain.rate(step) for step in (0, 1, 9)] == [0.5, 1, 1]
    falls = replace(plain, decay=0.5)
    assert [falls.rate(step) for step in (0, 4, 5, 6, 9)] == pytest.approx([0.5, 1, 1, 0.8, 0.2])
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"decay: came {wrong}; expected a part"):
            replace(plain, decay=wrong)


def test_losses_are_read_some_steps_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "losses.csv"
    kept = Losses(file, 0)
    for step in range(12):
        kept.add(torch.full((4,), float(step)))
        assert len(file.read_text().split()) == (1 if step < 9 else 11)
    assert kept.mean == sum(range(2, 12)) / 10 and losses(tmp_path) == list(range(12))
    more = Losses(file, 11)  # as its checkpoint says; the twelfth is made again
    more.add(torch.zeros(4))
    more.write()
    assert losses(tmp_path) == [*range(11), 0] and more.mean == 0
    only = Losses(None, 0)
    assert str(only.mean) == "nan"


def test_only_flows_are_learned_and_the_distance_to_the_teacher_is_logged(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=1, teacher=0.0, attention=0.0)
    distill(JointStudio("flux").pipe, PROMPTS, settings, tmp_path, cpu=True)
    assert losses(tmp_path) == losses(tmp_path, "flow")
    assert losses(tmp_path, "teacher")[0] > 0 and losses(tmp_path, "attention")[0] > 0
