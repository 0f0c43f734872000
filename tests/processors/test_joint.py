"""The laws of every family on tiny pipelines of joint attention: stock bits, and no trace."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchHeunDiscreteScheduler
from torch import Tensor

from attention_studio.processors import (
    Call,
    Cancelled,
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    Site,
    Step,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.families import family_of

from .joint_pipelines import JOINT, PROMPTS, JointStudio
from .test_stock import traces

NEVER, ALWAYS = Interval(0.0, 0.0), Interval()
IDLE: list[Control] = [
    ReplaceWords(during=NEVER),
    RefineWords(during=NEVER),
    ReweightWords({"tiger": 1.0}),
    ReweightWords({"tiger": 3.0}, during=NEVER),
    KeepLayout(during=NEVER),
    KeepLayout(blocks=NEVER),
    ReplaceWords(blocks=NEVER),
    LocalBlend(("cat", "tiger"), during=NEVER),
]


@pytest.fixture(params=JOINT)
def studio(request: pytest.FixtureRequest) -> JointStudio:
    return JointStudio(request.param)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_nothing_to_do_is_bit_for_bit_stock(studio: JointStudio, guidance: float) -> None:
    base = studio(guidance=guidance)
    before = traces(studio.pipe)
    for controls in ([], [Control()], IDLE):
        with attach(studio.pipe, controls):
            assert torch.equal(studio(guidance=guidance), base)
    assert traces(studio.pipe) == before
    assert torch.equal(studio(guidance=guidance), base)


def test_reading_maps_keeps_the_bits_also_of_pictures_that_are_not_square(
    studio: JointStudio,
) -> None:
    size = {"height": 24, "width": 40, "images": 2}
    base = studio(**size)
    with attach(studio.pipe, [RecordMaps(("cat", "tiger", "grass"))]) as run:
        assert torch.equal(studio(**size), base)
    assert run.maps.grids == ((6, 10),)
    assert set(run.maps.words) == {(0, "cat"), (1, "tiger"), (0, "grass"), (1, "grass")}
    first, second = (run.maps.get("tiger", prompt=1, image=i) for i in (0, 1))
    assert 0 < float(first.sum()) < 60 and bool((first >= 0).all())
    assert not torch.equal(first, second)


SAME: dict[str, list[Control]] = {
    "replace": [ReplaceWords(ALWAYS)],
    "all": [RefineWords(ALWAYS), KeepLayout(ALWAYS), LocalBlend(("cat", "cat"))],
    "qk": [KeepLayout(ALWAYS, inject="qk")],
    "reweight": [RefineWords(ALWAYS), ReweightWords({"grass": 1.0}), RecordMaps(("cat",))],
}


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_equal_prompts_stay_stock_and_equal(studio: JointStudio, guidance: float) -> None:
    same = [PROMPTS[0]] * 2
    base = studio(same, guidance=guidance)
    for edit, controls in SAME.items():
        with attach(studio.pipe, controls):
            out = studio(same, guidance=guidance)
        assert torch.equal(out, base) and torch.equal(out[0], out[1]), edit


def test_an_equal_prompt_that_is_weighed_is_no_longer_the_source(studio: JointStudio) -> None:
    """And still it reads the source's maps: a weight of almost 1 leaves it almost there."""
    same = [PROMPTS[0]] * 2
    moved = []
    for weight in (1.0 + 1e-6, 4.0):
        controls = [ReplaceWords(ALWAYS), KeepLayout(ALWAYS), ReweightWords({"cat": weight})]
        with attach(studio.pipe, controls):
            out = studio(same)
        moved.append(float((out[1] - out[0]).abs().max()))
    assert moved[0] < 1e-3 < moved[1]


EDITS: dict[str, list[Control]] = {
    "replace": [ReplaceWords()],
    "layout": [KeepLayout()],
    "qk": [KeepLayout(inject="qk")],
    "reweight": [ReweightWords({"tiger": 4.0})],
    "hidden": [ReweightWords({"tiger": 0.0})],
    "all": [ReplaceWords(), ReweightWords({"tiger": 2.0}), KeepLayout(), RecordMaps(("grass",))],
    "blend": [ReplaceWords(), LocalBlend(("cat", "tiger"), threshold=0.8)],
}


def test_an_edit_changes_its_rows_and_no_other(studio: JointStudio) -> None:
    base = studio(images=2)
    for edit, controls in EDITS.items():
        with attach(studio.pipe, controls):
            out = studio(images=2)
        assert torch.equal(out[:2], base[:2]), edit
        assert all(not torch.equal(a, b) for a, b in zip(out[2:], base[2:], strict=True)), edit
        assert bool(out.isfinite().all()), edit


class Fail(Control):
    """Breaks in the middle of a run."""

    def acts(self, site: Site, step: Step) -> bool:
        return step.index == 1

    def tokens(self, call: Call) -> Call:
        raise RuntimeError("broken control")


def test_exceptions_and_cancelling_leave_no_trace(studio: JointStudio) -> None:
    base, before = studio(), traces(studio.pipe)
    with pytest.raises(RuntimeError, match="broken control"), attach(studio.pipe, [Fail()]):
        studio()
    with attach(studio.pipe, [KeepLayout()]) as run:
        run.cancel()
        with pytest.raises(Cancelled):
            studio()
    assert traces(studio.pipe) == before
    assert torch.equal(studio(), base)


def test_every_call_within_a_block_starts_anew(studio: JointStudio) -> None:
    with attach(studio.pipe, [ReplaceWords(), RecordMaps(("grass",))]) as run:
        first = studio()
        seen = run.maps.get("grass", prompt=1)
        assert not torch.equal(studio(num_inference_steps=4, guidance=1.0), first)
        assert torch.equal(studio(), first)
        assert torch.equal(run.maps.get("grass", prompt=1), seen)


def blended(studio: JointStudio, edited: Tensor, source: Tensor) -> int:
    """In how many tokens the edit is the source."""
    if edited.ndim == 2:
        return int((edited == source).all(-1).sum())
    same = (edited == source).all(0).float()
    return int(torch.nn.functional.avg_pool2d(same[None], 2).eq(1).sum())


def test_a_blend_keeps_whole_tokens_of_the_source(studio: JointStudio) -> None:
    """FLUX and Qwen-Image pack 2 x 2 latents, and the mask is that of tokens."""
    blend = LocalBlend(("cat", "tiger"), threshold=0.9)
    with attach(studio.pipe, [blend]):
        out = studio()
    kept = blended(studio, out[1], out[0])
    assert 0 < kept < 64
    family = family_of(studio.pipe)
    latents = studio(height=24, width=40, output_type="latent")
    unpacked = family.unpack(latents, (12, 20))
    assert unpacked.shape == (2, 4, 12, 20)
    assert torch.equal(family.pack(unpacked), latents)
    if studio.name == "flux":
        theirs = studio.pipe._unpack_latents(latents, 24, 40, studio.pipe.vae_scale_factor)
        assert torch.equal(unpacked, theirs)


@pytest.mark.parametrize("name", ["sd3"])
def test_heun_s_half_steps_belong_to_one_step(name: str) -> None:
    seen: list[tuple[int, int, int]] = []

    class Watch(Control):
        def acts(self, site: Site, step: Step) -> bool:
            if not seen or seen[-1] != (step.index, step.call, step.count):
                seen.append((step.index, step.call, step.count))
            return False

    studio = JointStudio(name)
    studio.pipe.scheduler = FlowMatchHeunDiscreteScheduler()
    with attach(studio.pipe, [Watch(), LocalBlend(("cat", "tiger"))]):
        studio()
    assert [s[:2] for s in seen] == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)]
