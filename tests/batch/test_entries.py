"""Entries become rows: fields, patterns, seeds, ids, other tools' syntax, known data sets."""

from __future__ import annotations

from typing import Any

import pytest

from attention_studio import Recipe
from attention_studio.batch.entries import Maker, problem
from attention_studio.batch.formats import Entry
from attention_studio.batch.patterns import expand_patterns
from attention_studio.batch.row import Row
from attention_studio.edit_recipe import edit_recipe

from ..hostile_prompts import HOSTILE


def _rows(fields: dict[str, Any], maker: Maker | None = None) -> list[Row]:
    return list((maker or Maker()).rows(Entry(7, fields)))


def _refusal(fields: dict[str, Any], maker: Maker | None = None) -> str:
    with pytest.raises(ValueError) as error:
        _rows(fields, maker)
    return problem(error.value)


def test_a_prompt_is_a_recipe() -> None:
    (row,) = _rows({"id": 12, "prompt": "a cat", "seed": 3, "steps": 20, "negative": "fog"})
    assert (row.id, row.line) == ("12", 7)
    assert row.recipe == Recipe(prompts=("a cat",), seed=3, steps=20, negative="fog")


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"to": "a dog on grass"}, {}),
        ({"to": ["a dog on grass", "a very big dog on grass"]}, {}),
        ({"to": "a big cat on grass"}, {}),
        ({"to": "a dog on grass", "mode": "refine"}, {"mode": "refine"}),
        ({"weights": {"cat": 2}}, {"weights": {"cat": 2}}),
        ({"to": "a dog on grass", "blend": ["cat", "dog"]}, {"blend": ["cat", "dog"]}),
        ({"to": "a dog on grass", "words": "cat, dog"}, {"words": ["cat", "dog"]}),
        (
            {"to": "a dog on grass", "cross_replace": [0.1, 0.6], "self_replace": 0.3},
            {"cross_replace": (0.1, 0.6), "self_replace": 0.3},
        ),
    ],
)
def test_edits_are_those_of_the_command(fields: dict[str, Any], options: dict[str, Any]) -> None:
    (row,) = _rows({"prompt": "a cat on grass", "steps": 4} | fields)
    to = fields.get("to", [])
    made = edit_recipe("a cat on grass", [to] if isinstance(to, str) else to, steps=4, **options)
    assert row.recipe == made


def test_a_whole_recipe_and_defaults() -> None:
    maker = Maker({"steps": 9, "guidance": 2.0})
    recipe = {"prompts": ["a cat", "a dog"], "controls": ["p2p"], "seed": 5, "steps": 3}
    (row,) = _rows({"recipe": recipe, "id": "x", "guidance": 4.0}, maker)
    assert row.recipe == Recipe(**{**recipe, "guidance": 4.0})
    (other,) = _rows({"prompt": "a cat"}, maker)
    assert (other.recipe.steps, other.recipe.guidance) == (9, 2.0)


def test_rows_of_one_frame_do_not_mix() -> None:
    maker = Maker()
    made = [
        _rows({"prompt": f"a cat {i}", "to": f"a dog {i}", "seed": i}, maker)[0] for i in range(5)
    ]
    assert len({id(row.frame) for row in made}) == 1
    for i, row in enumerate(made):
        assert row.recipe == edit_recipe(f"a cat {i}", [f"a dog {i}"], seed=i)


def test_patterns_and_seeds() -> None:
    rows = _rows({"id": "a", "prompt": "a {cat|dog} on {grass|snow}", "seed": 4, "seeds": 2})
    assert [row.id for row in rows] == [f"a-{i}" for i in range(8)]
    assert [row.seed for row in rows] == [4, 5] * 4
    assert [row.prompts[0] for row in rows[::2]] == [
        "a cat on grass",
        "a cat on snow",
        "a dog on grass",
        "a dog on snow",
    ]
    assert [row.seed for row in _rows({"prompt": "a", "seeds": [9, 4]})] == [9, 4]


def test_the_same_braces_are_one_choice() -> None:
    assert expand_patterns(["a {red|blue} car", "a {red|blue} bus"]) == [
        ("a red car", "a red bus"),
        ("a blue car", "a blue bus"),
    ]
    assert expand_patterns(["{|big }cat {x}"]) == [("cat {x}",), ("big cat {x}",)]
    assert expand_patterns([r"\{a|b\} {c|d}"]) == [("{a|b} c",), ("{a|b} d",)]


def test_ids_are_made_of_the_recipe() -> None:
    (one,) = _rows({"prompt": "a cat", "to": "a dog"})
    (same,) = _rows({"to": ["a dog"], "prompt": "a cat", "mode": "swap"})
    (other,) = _rows({"prompt": "a cat", "to": "a dog", "seed": 1})
    assert one.id == same.id != other.id
    assert len(one.id) == 16
    (named,) = _rows({"name": "x", "prompt": "a cat"}, Maker(id_field="name"))
    assert named.id == "x"


def test_syntax_is_read_or_left() -> None:
    (row,) = _rows({"prompt": "a (cat:1.5) on grass"})
    assert row.prompts == ("a cat on grass",)
    assert row.recipe.controls[0].control == "reweight_words"
    (plain,) = _rows({"prompt": "a (cat:1.5) {a|b}"}, Maker(syntax=False))
    assert plain.prompts == ("a (cat:1.5) {a|b}",) and not plain.recipe.controls
    (swap,) = _rows({"prompt": "a (cat).swap(dog) on grass"})
    assert swap.prompts == ("a cat on grass", "a dog on grass") and swap.recipe.is_edit


def test_lines_of_known_data_sets() -> None:
    (row,) = _rows({"input": "a cat", "edit": "make it a dog", "output": "a dog"})
    assert row.recipe == edit_recipe("a cat", ["a dog"])
    (pie,) = _rows(
        {
            "id": "000000000000",
            "image_path": "0_random/0.jpg",
            "original_prompt": "a [cat] on grass",
            "editing_prompt": "a [dog] on grass",
            "editing_instruction": "…",
            "editing_type_id": "0",
            "blended_word": "cat dog",
            "mask": [0, 1],
        }
    )
    assert pie.recipe == edit_recipe("a cat on grass", ["a dog on grass"], blend=["cat", "dog"])
    assert pie.said == ("image_path: not opened; the source is drawn from its prompt",)
    (flow,) = _rows({"input_img": "x.png", "source_prompt": "a cat", "target_prompts": ["a dog"]})
    assert flow.recipe.prompts == ("a cat", "a dog")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "prompt, prompts: came neither"),
        ({"prompt": "a", "prompts": ["a"]}, "prompt, prompts: came both"),
        ({"prompt": "a", "step": 3}, "there is no field 'step'; fields: id, prompt"),
        ({"prompt": "a", "steps": 0}, "steps: Input should be greater than or equal to 1"),
        ({"prompt": "a", "steps": "many"}, "steps: Input should be a valid integer"),
        ({"prompt": "a", "seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"prompt": "a", "seed": 2**62}, "seed: Input should be less than"),
        ({"prompt": "a", "seed": 1.5}, "seed: came 1.5; expected a whole number"),
        ({"prompt": "a", "seeds": 0}, "seeds: came 0"),
        ({"prompt": "a", "seeds": 10**9}, "seeds: came 1000000000"),
        ({"prompt": 3}, "prompt: came [3]; expected text"),
        ({"prompt": "x" * 20_001}, "prompts.0: String should have at most"),
        ({"prompt": "a {" + "|" * 20_000 + "}"}, "prompt: its patterns make 20001 rows"),
        ({"prompt": "{a|b}", "seeds": 9000}, "seeds: 18000 rows of one line"),
        ({"prompt": "half \ud83d"}, "prompt: it holds half a surrogate pair"),
        ({"prompt": "a", "width": 64}, "size: came one of width and height"),
        ({"prompt": "a", "mode": "swap"}, "mode: came without to"),
        ({"prompt": "a cat", "to": "a dog", "mode": "x"}, "mode: came 'x'"),
        ({"prompt": "a cat", "to": "a dog", "blend": ["cow"]}, "word: 'cow'"),
        ({"prompt": "a cat", "to": "a dog", "weights": [1]}, "weights: came [1]"),
        ({"prompt": "a", "controls": ["zap"]}, "controls: there is no control 'zap'"),
        ({"prompt": "a", "id": ""}, "id: expected 1 to 400 characters"),
        ({"prompt": "a", "id": ["x"]}, "id: came ['x']"),
        ({"prompt": "a", "recipe": 3}, "recipe: came int"),
        ({"prompt": "a", "guidance": object()}, "it holds what JSON does not"),
    ],
)
def test_what_is_wrong_is_one_sentence(fields: dict[str, Any], said: str) -> None:
    assert said in _refusal(fields)


@pytest.mark.parametrize("prompt", HOSTILE)
def test_any_text_is_a_prompt(prompt: str) -> None:
    (row,) = _rows({"prompt": prompt}, Maker(syntax=False))
    assert row.recipe.prompts == (prompt,)
