"""A stock pipeline stays stock: with nothing to do, while only reading, and after the block."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from attention_studio.processors import (
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    Rows,
)
from attention_studio.processors.attach import attach

from .conftest import CASES, PROMPTS, SIDE, Studio

NEVER = Interval(0.0, 0.0)
IDLE = [
    ReplaceWords(during=NEVER),
    RefineWords(during=NEVER),
    ReweightWords({"tiger": 1.0}),
    ReweightWords({"tiger": 3.0}, during=NEVER),
    KeepLayout(during=NEVER),
    KeepLayout(max_side=0),
    LocalBlend(("cat", "tiger"), during=NEVER),
]


def traces(pipe: Any) -> tuple[Any, ...]:
    """Everything that attach touches, by identity."""
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    return (
        {name: id(p) for name, p in denoiser.attn_processors.items()},
        [sorted(vars(p)) for p in denoiser.attn_processors.values()],
        dict(denoiser._forward_hooks),
        dict(denoiser._forward_pre_hooks),
        sorted(vars(denoiser)),
        [
            (name, id(value))
            for owner in (pipe, pipe.scheduler)
            for name, value in vars(owner).items()
            if inspect.isroutine(value)  # a stock run leaves settings, never methods
        ],
        [p.requires_grad for p in denoiser.parameters()],
    )


@pytest.mark.parametrize(("name", "guidance"), [("sd", 1.0), *((name, 5.0) for name in CASES)])
def test_nothing_to_do_is_bit_for_bit_stock(name: str, guidance: float) -> None:
    studio = Studio(name, SIDE // 2)
    base = studio(guidance=guidance)
    before = traces(studio.pipe)
    for controls in ([], [Control()], IDLE):
        with attach(studio.pipe, controls):
            assert torch.equal(studio(guidance=guidance), base)
    assert traces(studio.pipe) == before
    assert torch.equal(studio(guidance=guidance), base)


@pytest.mark.parametrize("name", CASES)
def test_reading_maps_keeps_the_bits(name: str) -> None:
    studio = Studio(name)
    base = studio(images=2)
    control = RecordMaps(("cat", "tiger", "grass"), every_grid=True)
    with attach(studio.pipe, [control]) as run:
        assert torch.equal(studio(images=2), base)
    assert run.maps.grids == ((16, 16), (8, 8))
    assert set(run.maps.words) == {(0, "cat"), (1, "tiger"), (0, "grass"), (1, "grass")}
    for image in (0, 1):
        found = run.maps.get("grass", prompt=1, image=image, grid=(16, 16))
        assert 0 < float(found.sum()) < 256 and bool((found >= 0).all())
    assert not torch.equal(
        run.maps.get("grass", image=0, grid=(8, 8)), run.maps.get("grass", image=1, grid=(8, 8))
    )


@pytest.mark.parametrize(
    ("name", "images", "guidance"), [("sd", 1, 5.0), ("sd", 2, 1.0), ("sdxl", 2, 5.0)]
)
def test_equal_prompts_stay_stock_and_equal(name: str, images: int, guidance: float) -> None:
    """An edit that equals its source reads the source's maps, which are its own."""
    studio, same = Studio(name, SIDE // 2), [PROMPTS[0]] * 2
    base = studio(same, images=images, guidance=guidance)
    for control in (ReplaceWords, RefineWords, KeepLayout):
        with attach(studio.pipe, [control(during=Interval())]):
            out = studio(same, images=images, guidance=guidance)
        assert torch.equal(out, base), control
        assert torch.equal(out[:images], out[images:]), control


EDITS = {
    "replace": [ReplaceWords()],
    "refine": [RefineWords()],
    "reweight": [ReweightWords({"tiger": 4.0})],
    "layout": [KeepLayout()],
    "all": [RefineWords(), ReweightWords({"tiger": -1.0}), KeepLayout()],
    "blend": [ReplaceWords(), LocalBlend(("cat", "tiger", "cat"), threshold=0.7)],
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_changes_its_rows_and_no_other(name: str) -> None:
    studio = Studio(name, SIDE // 2)
    prompts = [*PROMPTS, PROMPTS[0]]
    base = studio(prompts, images=2)
    for edit in EDITS if name == "sd" else ("all", "blend"):
        with attach(studio.pipe, EDITS[edit]):
            out = studio(prompts, images=2)
        assert torch.equal(out[:2], base[:2]), edit
        assert not torch.equal(out[2:4], base[2:4]), edit
        if edit != "reweight":
            assert torch.equal(out[4:], out[:2]), edit


def test_the_source_can_be_re_weighted_too() -> None:
    studio = Studio("sd")
    base = studio(PROMPTS[:1])
    with attach(studio.pipe, [ReweightWords({"cat": 4.0}, rows=Rows.COND)]):
        assert not torch.equal(studio(PROMPTS[:1]), base)


def test_edits_of_one_run_can_be_weighed_apart() -> None:
    studio = Studio("sd")
    prompts = [PROMPTS[0]] * 3
    with attach(studio.pipe, [RefineWords(), ReweightWords({"cat": 4.0}, prompts=(2,))]):
        apart = studio(prompts)
    with attach(studio.pipe, [RefineWords(), ReweightWords({"cat": 4.0})]):
        alike = studio(prompts)
    assert torch.equal(apart[1], apart[0])
    assert not torch.equal(apart[2], apart[0])
    torch.testing.assert_close(apart[2], alike[2])


def test_every_call_within_a_block_starts_anew() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [ReplaceWords(), RecordMaps(("grass",))]) as run:
        first = studio()
        seen = run.maps.get("grass", prompt=1)
        assert not torch.equal(studio(num_inference_steps=5), first)
        assert torch.equal(studio(), first)
        assert torch.equal(run.maps.get("grass", prompt=1), seen)


def test_maps_of_a_picture_that_is_not_square() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [RecordMaps(("cat",), every_grid=True)]) as run:
        studio(height=24, width=40)
    assert run.maps.grids == ((12, 20), (6, 10))


@pytest.mark.parametrize("steps", [1, 2])
def test_runs_of_few_steps_are_edited(steps: int) -> None:
    studio = Studio("sd")
    base = studio(num_inference_steps=steps)
    with attach(studio.pipe, [ReplaceWords(), KeepLayout()]):
        out = studio(num_inference_steps=steps)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])
