"""Grounding's parts: roles of tokens, sinks, shares, and what a map points at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attention_studio.processors import Call, Control, KeepLayout, ReplaceWords
from attention_studio.processors.attach import attach
from attention_studio.processors.families import family_of
from attention_studio.processors.grounding import (
    GroundRules,
    RecordTokens,
    Role,
    columns_of,
    expression_roles,
    find_sinks,
    ground_prompt,
    heat_of,
    leaning,
    region_of,
    shares,
    sides_of,
    tokens_of,
    without_sinks,
)
from attention_studio.processors.prompts import TextBlock, tokenize

from .conftest import PROMPTS, Studio
from .joint_pipelines import JointStudio, t5_tokenizer

T5 = TextBlock("t5", (t5_tokenizer(),), 64)
NO_MAGNETS = GroundRules(magnets=())


def content(expression: str, rules: GroundRules = NO_MAGNETS) -> str:
    """Letters of the tokens that count, one word each."""
    prompt = ground_prompt(expression, rules)
    found = tokens_of(tokenize(prompt, (T5,), 64), expression, rules)
    spans = dict.fromkeys(token.span for token in found if token.role is Role.CONTENT)
    return "".join(prompt[a:b] for a, b in spans).replace(" ", "")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a red cat", "redcat"),
        ("the dog on grass", "dog"),
        ("the dog left of the cat", "dog"),
        ("the left dog", "dog"),
        ("on the left, the red dog", "reddog"),
        ("the one", "theone"),
        ("a tiger", "tiger"),
    ],
)
def test_what_counts(expression: str, expected: str) -> None:
    assert content(expression) == expected


def test_switched_off_rules_count_more() -> None:
    assert content("the dog on grass", replace(NO_MAGNETS, head_phrase=False)) == "doggrass"
    assert content("the left dog", replace(NO_MAGNETS, spatial_bias=0.0)) == "leftdog"
    assert content("the dog on grass", GroundRules.plain()) == "thedogongrass"


def test_magnets_are_told_by_place_and_never_repeat_a_word() -> None:
    rules = GroundRules(magnets=("on", "to"))
    assert ground_prompt(" a cat on grass ", rules) == "a cat on grass to"
    assert ground_prompt("a Pink cat", GroundRules()) == "a Pink cat with to"
    (block,) = tokenize("a cat a", (T5,), 64).blocks
    roles = [role for _, role in expression_roles(block, "a cat", rules)]
    assert roles == [Role.STOP, Role.CONTENT, Role.MAGNET]


@pytest.mark.parametrize("expression", ["", "  ", "?!"])
def test_an_expression_needs_a_word(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expression: came .*expected one with a word"):
        ground_prompt(expression, GroundRules())


def test_magnets_need_room_too() -> None:
    (block,) = tokenize("a red cat with to", (TextBlock("t5", (t5_tokenizer(),), 6),), 6).blocks
    with pytest.raises(ValueError, match=r"reads 6 tokens .* fewer magnets"):
        expression_roles(block, "a red cat", GroundRules())


@pytest.mark.parametrize(("magnet", "bias"), [("two words", 0.5), ("", 0.5), ("with", -1.0)])
def test_bad_rules(magnet: str, bias: float) -> None:
    with pytest.raises(ValueError, match=r"magnets: came|spatial_bias: came"):
        GroundRules(magnets=(magnet,), spatial_bias=bias)


def random_columns(blocks: int = 2, places: int = 12, tokens: int = 5) -> torch.Tensor:
    return torch.rand(blocks, places, tokens, generator=torch.Generator().manual_seed(0)) * 0.1


def test_one_constant_high_column_is_the_only_sink_and_leaves_no_trace() -> None:
    columns = random_columns()
    columns[1, :, 3] = 0.8
    by_text = torch.full((2, 5), 0.01)
    by_text[1, 3] = 0.5
    sinks = find_sinks(columns, by_text)
    assert sinks.nonzero().tolist() == [[1, 3]]
    for counts in ([True, True, False, False, False], [True, True, False, True, False]):
        chosen = torch.tensor(counts)
        without = columns.clone()
        without[1, :, 3] = 0
        cleaned = without_sinks(columns, sinks, chosen)
        assert torch.equal(cleaned, without)  # of a constant column nothing is uneven


@pytest.mark.parametrize("change", ["low for texts", "uneven", "not high"])
def test_what_is_no_sink(change: str) -> None:
    columns, by_text = random_columns(), torch.full((2, 5), 0.01)
    columns[1, :, 3], by_text[1, 3] = 0.8, 0.5
    if change == "low for texts":
        by_text[1, 3] = 0.02
    elif change == "uneven":
        columns[1, :8, 3] = 0.0
    else:
        columns[1, :, 3] = 0.1
    assert not find_sinks(columns, by_text).any()


def test_a_sink_that_counts_keeps_what_is_uneven() -> None:
    columns = random_columns(1)
    columns[0, :, 0] = 0.8
    columns[0, 4, 0] = 1.0
    counts = torch.tensor([True, False, False, False, False])
    cleaned = without_sinks(columns, find_sinks(columns), counts)
    assert cleaned[0, :, 0].argmax() == 4
    assert cleaned[0, :, 0].min() == 0
    assert torch.equal(cleaned[..., 1:], columns[..., 1:])


def test_shares_sum_to_one_and_heat_is_what_is_not_dropped() -> None:
    columns, chosen = random_columns(), torch.tensor([False, True, True, False, False])
    part = shares(columns, chosen, joint=True)
    torch.testing.assert_close(part.sum(-1), torch.ones(12))
    torch.testing.assert_close(heat_of(part, chosen), 1 - part[:, ~chosen].sum(-1))
    order = torch.tensor([4, 1, 2, 0, 3])  # permuted magnets
    torch.testing.assert_close(
        heat_of(shares(columns[..., order], chosen[order], joint=True), chosen[order]),
        heat_of(part, chosen),
    )


def test_a_place_that_gives_all_to_magnets_is_cold_and_cross_attention_is_not_divided() -> None:
    columns, chosen = random_columns(), torch.tensor([True, False, False, False, False])
    columns[:, 7, 0] = 0
    assert heat_of(shares(columns, chosen, joint=True), chosen)[7] == 0
    assert torch.equal(heat_of(shares(columns, chosen, joint=False), chosen), columns.mean(0)[:, 0])
    assert torch.equal(heat_of(shares(columns * 0, chosen, joint=True), chosen), torch.zeros(12))


def test_sides_lean_the_map() -> None:
    assert sides_of("the top left cat") == ("top", "left")
    assert leaning((3, 5), (), 0.5).eq(1).all()
    factor = leaning((3, 5), ("right",), 0.5)
    assert factor[0].tolist() == [1.0, 1.125, 1.25, 1.375, 1.5]
    assert leaning((3, 3), ("middle",), 1.0).argmax() == 4
    assert leaning((1, 4), ("top",), 1.0).eq(1.5).all()


def test_a_single_hot_place_becomes_its_pixel() -> None:
    heat = torch.zeros(36, 64)
    heat[10, 50] = 1.0
    found = region_of(heat, (720, 1280))
    column, row = found.point_px
    # 3 x 3 smoothing makes nine equal places; the first of them is the highest.
    assert (row // 20, column // 20) == (9, 49)
    left, top, right, bottom = found.box_px
    assert left <= 50 * 20 + 10 < right
    assert top <= 10 * 20 + 10 < bottom
    assert found.mask[10 * 20 + 10, 50 * 20 + 10]
    assert not found.mask[:, : 45 * 20].any()


def test_only_the_piece_with_the_peak_is_the_mask_and_rivals_are_named() -> None:
    heat = torch.zeros(16, 16)
    heat[2:6, 2:6] = 1.0
    heat[10:14, 10:14] = 0.95
    found = region_of(heat, (64, 64))
    assert found.mask[16, 16]
    assert not found.mask[48, 48]
    assert len(found.peaks_px) == 2
    assert found.peaks_px[0] == found.point_px


@pytest.mark.parametrize("heat", [torch.full((4, 4), 0.5), torch.full((4, 4), torch.nan)])
def test_a_map_that_points_nowhere_is_refused(heat: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="heat: "):
        region_of(heat, (16, 16))


FAMILIES = {
    "sd": lambda: Studio("sd"),
    "sdxl": lambda: Studio("sdxl"),
    "sd3": lambda: JointStudio("sd3-dual"),
    "flux": lambda: JointStudio("flux"),
}
PLAIN = GroundRules.plain()


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_tokens_keeps_the_bits_also_beside_edits(family: str) -> None:
    studio = FAMILIES[family]()
    reads = RecordTokens(tuple(PROMPTS), PLAIN)
    base = studio(PROMPTS, num_inference_steps=2)
    with attach(studio.pipe, [reads]):
        assert torch.equal(studio(PROMPTS, num_inference_steps=2), base)
    assert torch.equal(studio(PROMPTS, num_inference_steps=2), base)
    edits = [ReplaceWords(), KeepLayout()]
    with attach(studio.pipe, edits):
        edited = studio(PROMPTS, num_inference_steps=2)
    with attach(studio.pipe, [*edits, reads]):
        assert torch.equal(studio(PROMPTS, num_inference_steps=2), edited)


def test_joint_columns_are_those_of_the_dense_softmax_for_image_and_text() -> None:
    """Every block's columns, by the images and by the texts, against probabilities in full."""
    seen: dict[str, torch.Tensor] = {}

    class Dense(Control):
        def tokens(self, call: Call) -> Call:
            scores = call.q @ call.k.mT * call.q.shape[-1] ** -0.5
            if call.batch.cond:  # guidance has calls of its own
                seen[call.site.name] = scores.softmax(-1).mean(1)
            return call

    studio = JointStudio("flux")
    reads = RecordTokens(tuple(PROMPTS), PLAIN)
    with attach(studio.pipe, [Dense(), reads]) as run:
        studio(PROMPTS, num_inference_steps=1)
    family = family_of(studio.pipe)
    sites = [site for _, site in family.sites(studio.pipe.transformer)]
    blocks = family.blocks(studio.pipe, run.texts)
    for prompt, expression in enumerate(PROMPTS):
        text = tokenize(expression, blocks, run.texts)
        tokens = tokens_of(text, expression, PLAIN)
        found = columns_of(run.maps, prompt, tokens, sites, run.texts)
        at = [token.position for token in tokens]
        assert found.by_text is not None
        for i, site in enumerate(sites):
            full = seen[site.name][prompt]
            torch.testing.assert_close(found.columns[i], full[run.texts :, at])
            torch.testing.assert_close(found.by_text[i], full[at][:, at].mean(0))
