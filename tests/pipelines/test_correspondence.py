"""Which token is which of another picture, and taking over what attention gave it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.pipelines import (
    STORY_METHODS,
    Cast,
    Story,
    WithFeatures,
    correspondences,
    match_features,
    recorded_features,
)
from attention_studio.processors import (
    Call,
    Control,
    InjectFeatures,
    Interval,
    Match,
    Prompts,
    ShareSubjects,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Kind, Rows
from attention_studio.processors.memory import Memory

from ..processors.conftest import Studio
from ..processors.joint_pipelines import JointStudio, flux
from ..processors.test_stock import traces
from .test_story import CAST, LEFT, RIGHT, SCENE, SIZE, halves, sd

TEXTS = ["a cat", "a lion", "a cat and a lion"]
ALWAYS = Interval(0.0, 1.0)
FULL = (0.0, 0.0, 1.0, 1.0)


def grid_features(count: int, side: int, seed: int = 0) -> Tensor:
    """Rough enough that a blur leaves every token unlike all others."""
    return torch.randn(count, 64, side, side, generator=torch.Generator().manual_seed(seed))


def test_a_picture_and_its_mirror_match_mirrored() -> None:
    one = grid_features(1, 8)
    features = torch.cat([one, one.flip(3)])
    match = match_features(features, 1, torch.ones(8, 8).bool(), {0: torch.ones(8, 8).bool()})
    mirrored = torch.arange(64).reshape(8, 8).flip(1)
    alike = match.source == 0
    assert int(alike.sum()) > 0
    assert torch.equal(match.token[alike], mirrored[alike])


def test_matches_are_the_nearest_of_all_pictures_by_definition() -> None:
    features, side = grid_features(3, 6), 6
    masks = [
        torch.rand(side, side, generator=torch.Generator().manual_seed(i)) < 0.6 for i in (1, 2)
    ]
    within = torch.rand(side, side, generator=torch.Generator().manual_seed(3)) < 0.7
    found = match_features(features, 2, within, {0: masks[0], 1: masks[1]})
    padded = torch.nn.functional.pad(features.double(), (1, 1, 1, 1), mode="replicate")
    weights = torch.exp(-torch.tensor([2.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 2.0]).double() / 2)
    weights = (weights / weights.sum()).reshape(3, 3)
    smooth = sum(
        weights[y, x] * padded[:, :, y : y + side, x : x + side] for y in range(3) for x in range(3)
    )
    assert isinstance(smooth, Tensor)
    far: dict[tuple[int, int], tuple[float, int, int]] = {}
    for y in range(side):
        for x in range(side):
            own = smooth[2, :, y, x]
            far[y, x] = min(
                (1 - float(torch.cosine_similarity(own, smooth[j, :, v, u], 0)), j, v * side + u)
                for j in (0, 1)
                for v in range(side)
                for u in range(side)
                if masks[j][v, u]
            )
    from attention_studio.processors.otsu import otsu

    limit = otsu(torch.tensor([one[0] for one in far.values()]))
    for (y, x), (distance, j, token) in far.items():
        near = bool(within[y, x]) and distance < limit
        assert int(found.source[y, x]) == (j if near else -1)
        if near:
            assert int(found.token[y, x]) == token
    assert 0 < found.count < int(within.sum())


def test_equal_pictures_match_everywhere_and_nothing_matches_nothing() -> None:
    flat, all_of_it = torch.ones(2, 4, 4, 4), torch.ones(4, 4).bool()
    assert match_features(flat, 1, all_of_it, {0: all_of_it}).count == 16
    assert match_features(flat, 1, all_of_it, {0: ~all_of_it}).count == 0
    assert match_features(flat, 1, ~all_of_it, {0: all_of_it}).count == 0
    assert match_features(flat, 1, all_of_it, {}).count == 0


def test_anchors_look_to_each_other_and_all_others_to_them() -> None:
    features = grid_features(3, 8)
    matches = correspondences(features, [FULL] * 3, grid=(16, 16))
    assert [match.prompt for match in matches] == [0, 1, 2]
    assert all(match.source.shape == (16, 16) for match in matches)
    sources = [set(match.source.unique().tolist()) - {-1} for match in matches]
    assert sources[0] == {1} and sources[1] == {0} and sources[2] == {0, 1}
    with pytest.raises(ValueError, match="places: came 2; expected one for each of 3 pictures"):
        correspondences(features, [FULL] * 2, grid=(8, 8))
    with pytest.raises(ValueError, match="anchors: came 3; there are pictures 0 to 2"):
        correspondences(features, [FULL] * 3, grid=(8, 8), anchors=(3,))


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_features_are_the_decoders_and_leave_no_trace(name: str) -> None:
    studio = Studio(name)
    before, base = traces(studio.pipe), studio(TEXTS)
    blocks = studio.pipe.unet.up_blocks
    given: list[Tensor] = []
    hook = blocks[max(0, len(blocks) - 3)].register_forward_hook(
        lambda _, __, out: given.append(out)
    )
    with recorded_features(studio.pipe, at=10_000) as first:
        assert torch.equal(studio(TEXTS), base)
    with recorded_features(studio.pipe, at=0) as last:
        studio(TEXTS)
    hook.remove()
    assert torch.equal(first.of(3), given[0][-3:].float())
    assert torch.equal(last.of(3), given[-1][-3:].float())
    assert first.t is not None and last.t is not None and first.t > last.t
    assert traces(studio.pipe) == before
    assert not studio.pipe.unet._forward_pre_hooks and not any(b._forward_hooks for b in blocks)
    with pytest.raises(ValueError, match=r"count: came 9 for \d recorded rows"):
        first.of(9)
    with recorded_features(studio.pipe) as unused, pytest.raises(ValueError, match="count: came 1"):
        unused.of(1)
    with pytest.raises(ValueError, match="block: came 7; the decoder has 0 to"):
        recorded_features(studio.pipe, block=7).__enter__()
    with pytest.raises(ValueError, match="pipe: came FluxPipeline; expected one whose"):
        recorded_features(flux()).__enter__()


def whole(side: int, prompt: int = 2, source: int = 0) -> Match:
    """Every token is the mirrored one of another picture."""
    there = torch.arange(side * side).reshape(side, side).flip(1)
    return Match(prompt, torch.full((side, side), source), there)


class Outputs(Control):
    """Keeps what leaves the self-attentions, before and after another control."""

    def __init__(self, kept: list[tuple[str, Tensor]]) -> None:
        object.__setattr__(self, "rows", Rows.ALL)
        object.__setattr__(self, "kept", kept)

    def finish(self, call: Call, out: Tensor) -> Tensor:
        if call.site.kind is not Kind.CROSS and call.queries.grid == (8, 8):
            self.kept.append((call.site.name, out[:, :, call.queries.image].clone()))  # type: ignore[attr-defined]
        return out


@pytest.mark.parametrize("name", ["sd", "flux"])
def test_what_attention_gave_is_taken_over_by_the_like(name: str) -> None:
    studio: Any = Studio(name) if name == "sd" else JointStudio(name)
    before: list[tuple[str, Tensor]] = []
    after: list[tuple[str, Tensor]] = []
    size = {} if name == "sd" else {"height": 32, "width": 32}
    control = InjectFeatures((whole(8),), 0.75, ALWAYS)
    with attach(studio.pipe, [Outputs(before), control, Outputs(after)]) as run:
        studio(TEXTS, num_inference_steps=1, **size)
    assert before and len(before) == len(after)
    changed = 0
    for (_, was), (_, now) in zip(before, after, strict=True):
        if torch.equal(was, now):  # the bottom, and the other half of guidance by itself
            continue
        changed += 1
        scene, source = len(was) - 1, len(was) - 3
        like = was[source].reshape(-1, 8, 8, was.shape[-1]).flip(2).reshape(was[source].shape)
        torch.testing.assert_close(now[scene], 0.75 * like + 0.25 * was[scene])
        assert torch.equal(now[:scene], was[:scene])  # the other half and all sources
    acting = sum("mid_block" not in site for site, _ in before)
    assert 0 < changed == (acting if name == "sd" else acting // 2)
    assert run.notes == ("inject_features gave 64 tokens what attention gave their like",)


def test_nothing_is_injected_without_weight_likes_or_steps() -> None:
    studio = Studio("sd")
    base, nobody = studio(TEXTS), Match(2, torch.full((8, 8), -1), torch.zeros(8, 8).long())
    for control in (
        InjectFeatures((whole(8),), 0.0),
        InjectFeatures((nobody,)),
        InjectFeatures(()),
        InjectFeatures((whole(8),), during=Interval(0.0, 0.0)),
        InjectFeatures((whole(5),), during=ALWAYS),  # of no grid of this run
    ):
        with attach(studio.pipe, [control]):
            assert torch.equal(studio(TEXTS), base)
    with attach(studio.pipe, [InjectFeatures((whole(8),), during=ALWAYS)]):
        found = studio(TEXTS)
    assert torch.equal(found[:2], base[:2]) and not torch.allclose(found[2], base[2])


def test_a_second_run_of_weight_zero_is_the_first() -> None:
    studio = Studio("sd")
    share = [ShareSubjects(where=(FULL, FULL, FULL))]
    with attach(studio.pipe, share), recorded_features(studio.pipe) as seen:
        first = studio(TEXTS)
    matches = correspondences(seen.of(3), [FULL] * 3, grid=(8, 8))
    assert all(match.count for match in matches)
    with attach(studio.pipe, [*share, InjectFeatures(matches, 0.0)]):
        assert torch.equal(studio(TEXTS), first)
    with attach(studio.pipe, [*share, InjectFeatures(matches, during=ALWAYS)]):
        assert not torch.allclose(studio(TEXTS), first)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (InjectFeatures((), 1.5), "weight: came 1.5"),
        (InjectFeatures((whole(4, prompt=3),)), "matches: came prompt 3; the run has 0 to 2"),
        (InjectFeatures((whole(4, source=5),)), "matches: came prompt 5; the run has 0 to 2"),
        (
            InjectFeatures((Match(1, torch.zeros(2, 2).long(), torch.zeros(4).long()),)),
            r"matches: came a source \[2, 2\] and a token \[4\]",
        ),
        (
            InjectFeatures((Match(1, torch.zeros(2, 2).long(), torch.full((2, 2), 4)),)),
            "matches: came tokens 4 to 4; expected 0 to 3",
        ),
        (InjectFeatures((Match(1, *[torch.zeros(2, 2).long()] * 2, image=1),)), "came image 1"),
    ],
)
def test_matches_that_cannot_be_are_refused(control: InjectFeatures, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        control.bind(Prompts(tuple(TEXTS), 3, 1, ()))


def test_a_recalled_picture_gives_nothing() -> None:
    studio = Studio("sd")
    memory = Memory("a cat", frozenset(name for name, _ in studio.pipe.unet.named_modules()))
    with attach(studio.pipe, [], keeps=memory):
        studio(["a cat"])
    injected = InjectFeatures((whole(8, prompt=1),), during=ALWAYS)
    with (
        attach(studio.pipe, [injected], recalls=[memory]),
        pytest.raises(ValueError, match="recalls: inject_features needs what attention gives"),
    ):
        studio(["a lion"])


def test_a_story_is_drawn_twice_and_takes_features_from_portraits() -> None:
    pipe, places = sd(), {"cat": LEFT, "lion": RIGHT}
    call = {**SIZE, "num_inference_steps": 4}
    runs: list[int] = []
    method = STORY_METHODS["consistory + features"]
    assert isinstance(method, WithFeatures)
    story = Story(pipe, CAST, halves, method, call=call)
    story.portraits()
    draw = story._draw

    def counted(prompts: list[str], *more: Any) -> Any:
        runs.append(len(prompts))
        return draw(prompts, *more)

    story._draw = counted  # type: ignore[method-assign]
    found = story.scene(SCENE, places=places)
    assert runs == [3, 3]
    assert found.notes[-1].startswith("inject_features gave ")
    plain = Story(pipe, CAST, halves, STORY_METHODS["consistory"], call=call)
    assert plain.scene(SCENE, places=places).image.tobytes() != found.image.tobytes()
    with pytest.raises(ValueError, match="pipe: came FluxPipeline"):
        Story(flux(), (Cast("cat", "a cat"),), halves, method, call=SIZE).scene(
            "a cat", places={"cat": LEFT}
        )
