"""The judge's training: its data tell the truth, its loss falls, an interrupted run goes on."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attention_studio.emoji.judge_net import JudgeNet
from attention_studio.emoji.objects import CLASSES, REJECT
from attention_studio.emoji.render import render
from attention_studio.emoji.sample import sample_plan
from attention_studio.emoji.train.broken import BREAKS, IGNORE, break_thing, label
from attention_studio.emoji.train.judge_data import Batch, Pool, distort
from attention_studio.emoji.train.loop import Budget
from attention_studio.emoji.train.train_judge import judge_loss, save_judge, train_judge


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_thing_is_labelled_reject_and_nothing_else_is(kind: str) -> None:
    rng = np.random.default_rng(0)
    plan = sample_plan(rng, count=2, style=None)
    drawn = render(plan)
    case = break_thing(plan, drawn, rng, kind)
    assert case.broken is not None
    assert ((case.classes == REJECT) == case.broken).all()
    assert case.broken.any()
    away = ~case.broken & (case.classes != IGNORE)
    allowed = {0, *(CLASSES.index(thing.noun) for thing in plan.things)}
    assert set(np.unique(case.classes[away])) <= allowed
    assert (case.tints[case.broken] == IGNORE).all()
    assert (case.image != drawn.image).any()


def test_unknown_breaks_are_refused() -> None:
    rng = np.random.default_rng(0)
    plan = sample_plan(rng)
    with pytest.raises(ValueError, match="kind: got 'melt', expected one of blur"):
        break_thing(plan, render(plan), rng, "melt")


def test_labels_are_the_truth() -> None:
    plan = sample_plan(np.random.default_rng(4), count=2, style=None)
    drawn = render(plan)
    maps = label(drawn)
    for noun, mask in zip(drawn.scene.nouns, drawn.scene.masks, strict=True):
        assert (maps.classes[mask] == CLASSES.index(noun)).all()
    assert (maps.classes[~drawn.scene.masks.any(0)] == 0).all()


def test_a_pool_draws_the_same_from_the_same_seed() -> None:
    first, second = (Pool(None, (3,), 8).batch(4) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.classes, second.classes)


def test_distortions_keep_what_is_there() -> None:
    rows = Pool(None, (5,), 12, broken=0.0).batch(12)
    bent = distort(rows, np.random.default_rng(0))
    for before, after in zip(rows.classes, bent.classes, strict=True):
        things = set(before.unique().tolist())
        assert set(after.unique().tolist()) <= things
    assert bent.images.abs().max() <= 1


def test_edges_are_learned_from_known_pixels_only() -> None:
    batch = Pool(None, (13,), 4, broken=0.0).batch(4)
    batch.classes[:, :64] = IGNORE
    with torch.no_grad():
        said = JudgeNet().eval()(batch.images)
        assert said.things.shape == batch.classes.shape
        loss = judge_loss(said, batch)
        above, below = said.things.clone(), said.things.clone()
        above[:, :64] += 5.0
        below[:, 64:] += 5.0
        assert judge_loss(replace(said, things=above), batch) == loss
        assert judge_loss(replace(said, things=below), batch) > loss


@pytest.mark.usefixtures("second_a_look")
def test_a_short_run_learns_is_resumed_and_saved(tmp_path: Path) -> None:
    budget = Budget(tmp_path, 0.5, batch=4, threads=1, warmup_steps=5, ema=0.5)
    batch = Pool(None, (11,), 16, broken=0.0).batch(16)
    torch.manual_seed(0)
    with torch.no_grad():
        before = float(judge_loss(JudgeNet()(batch.images), batch))
    _, first = train_judge(budget, pool=16)
    net, second = train_judge(budget, pool=16)
    assert second.steps > first.steps > 0
    with torch.no_grad():
        after = float(judge_loss(net(batch.images), batch))
    assert after < 0.8 * before
    file = save_judge(net, tmp_path / "judge")
    assert file.stat().st_size <= 3_000_000
    loaded = JudgeNet.load(tmp_path / "judge")
    picture = np.zeros((1, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(
        loaded.answer(picture).nouns, net.eval().answer(picture).nouns, atol=0.02
    )


def test_a_run_from_a_start_goes_on_only_when_it_may(tmp_path: Path) -> None:
    budget = Budget(tmp_path, 0.05, batch=4, threads=1)
    start = JudgeNet()
    _, first = train_judge(budget, pool=16, start=start)
    none = replace(budget, minutes=0.0)
    assert train_judge(none, pool=16, start=start)[1].steps == first.steps
    net, anew = train_judge(replace(none, resume=False), pool=16, start=start)
    assert first.steps > 0 and anew.steps == 0
    for name, value in start.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


def test_repainted_pictures_are_kept_for_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = importlib.import_module("attention_studio.emoji.train.run")
    drawn = Pool(None, (1,), 2).store
    seeds: list[tuple[int, ...]] = []

    def draw(pipe: object, count: int, *, nouns: object, seed: tuple[int, ...]) -> Batch:
        seeds.append(seed)
        return drawn

    monkeypatch.setattr("attention_studio.emoji.train.repainted.repainted", draw)
    budget, model = Budget(tmp_path, 1.0), run.EMBEDDED / "emoji-sd"
    for _ in range(2):
        found = run._repainted(budget, model)
        assert all(torch.equal(a, b) for a, b in zip(*map(_values, (found, drawn)), strict=True))
    assert len(seeds) == 1
    with pytest.raises(ValueError, match=r"repainter: .* expected the same, --no-resume"):
        run._repainted(replace(budget, seed=1), model)
    run._repainted(replace(budget, seed=1, resume=False), model)
    run._repainted(replace(budget, seed=1), model)
    assert len(seeds) == 2


def _values(batch: Batch) -> list[torch.Tensor]:
    return list(vars(batch).values())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no judge\.safetensors"):
        JudgeNet.load(tmp_path)
