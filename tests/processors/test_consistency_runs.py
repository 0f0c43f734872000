"""Consistency on stock pipelines: stock before and after, portraits untouched, bad input said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import (
    AlignStyle,
    Call,
    Control,
    FindPlaces,
    FollowSource,
    Interval,
    IsolateSubjects,
    LocalWindow,
    ReadSubjectPrompts,
    RecordMaps,
    RepositionSubjects,
    ShareSubjects,
    ShareTokens,
    Subject,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.otsu import above, otsu

from .conftest import Studio
from .joint_pipelines import JointStudio
from .test_stock import traces

TEXTS = ["a cat", "a lion", "a cat and a lion on grass"]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.25, 1.0, 1.0)
TWO = (Subject("cat", LEFT, 0, (0.25, 0.25, 0.75, 1.0)), Subject("lion", RIGHT, 1))
ALL = (IsolateSubjects(TWO), RepositionSubjects(TWO), ReadSubjectPrompts(TWO))
STUDIOS: dict[str, Any] = {
    "sd": lambda: Studio("sd"),
    "sdxl": lambda: Studio("sdxl"),
    "sd3-dual": lambda: JointStudio("sd3-dual"),
    "flux": lambda: JointStudio("flux"),
}


def run(studio: Any, *controls: Control, texts: list[str] = TEXTS, **more: Any) -> Tensor:
    with attach(studio.pipe, list(controls)):
        found: Tensor = studio(texts, num_inference_steps=2, **more)
    return found


@pytest.mark.parametrize("name", STUDIOS)
def test_portraits_keep_their_bits_and_the_pipeline_its_processors(name: str) -> None:
    studio = STUDIOS[name]()
    base, before = studio(TEXTS, num_inference_steps=2), traces(studio.pipe)
    idle = (
        IsolateSubjects(TWO, soft=0.0),
        RepositionSubjects(TWO, dropout=1.0),
        ReadSubjectPrompts(TWO, 0.0),
        AlignStyle(statistics=False, share=False),
        ShareTokens(keep=0.0),
        ShareSubjects(where=(LEFT,) * 3, dropout=1.0),
        FollowSource(during=Interval(0.0, 0.0)),
    )
    assert torch.equal(run(studio, *idle), base)
    found = run(studio, *ALL)
    assert torch.equal(found[:2], base[:2]) and not torch.equal(found[2], base[2])
    assert bool(found.isfinite().all())
    assert torch.equal(run(studio, *ALL), found)  # the same seed is the same picture
    other = run(studio, *(replace(c, seed=1) if c is ALL[1] else c for c in ALL))  # type: ignore[call-arg]
    assert not torch.equal(other[2], found[2])
    assert traces(studio.pipe) == before


def test_it_is_gone_after_an_exception() -> None:
    studio = Studio("sd")
    before = traces(studio.pipe)

    def fail(*_: Any) -> Any:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run(studio, *ALL, callback_on_step_end=fail)
    assert traces(studio.pipe) == before


def test_the_caller_s_random_numbers_are_left_alone() -> None:
    studio = Studio("sd")
    torch.manual_seed(5)
    run(studio, *ALL, ShareTokens())
    after = torch.rand(1)
    torch.manual_seed(5)
    studio(TEXTS, num_inference_steps=2)
    assert torch.equal(after, torch.rand(1))


def test_a_backend_that_drops_masks_has_no_part_in_it() -> None:
    studio = JointStudio("flux")
    everywhere = [
        IsolateSubjects(TWO, blocks=Interval(0.0, 1.0)),
        RecordMaps(("cat",)),
    ]
    wanted = run(studio, *everywhere)
    for processor in studio.pipe.transformer.attn_processors.values():
        processor._attention_backend = "flash_varlen"  # reduces a mask of pairs to one of keys
    assert torch.equal(run(studio, *everywhere), wanted)


def test_keys_move_by_the_positions_that_hold_in_the_run() -> None:
    studio, seen = JointStudio("flux"), []

    class Watch(Control):
        def tokens(self, call: Call) -> Call:
            seen.append(call.site.rotary)
            return call

    run(studio, Watch(), texts=TEXTS[:1])
    plain = seen.pop()
    run(studio, Watch(), LocalWindow(ntk=10.0, during=Interval(0.5, 1.0)), texts=TEXTS[:1])
    assert plain is not None and seen.pop() == replace(plain, theta=10 * plain.theta)


def test_words_have_their_places_once_they_were_looked_at() -> None:
    studio = Studio("sd")
    base = studio(TEXTS[2:], num_inference_steps=3)
    words = (Subject("cat", "cat"), Subject("lion", "lion"))
    with attach(studio.pipe, [IsolateSubjects(words, looks=0.3)]) as seen:
        found = studio(TEXTS[2:], num_inference_steps=3)
    assert not torch.equal(found, base) and "cat (" in seen.notes[0]
    with attach(studio.pipe, [IsolateSubjects(words, looks=1.0)]):
        late = studio(TEXTS[2:], num_inference_steps=3)
    torch.testing.assert_close(late, base, atol=1e-6, rtol=0)


def test_places_are_found_without_a_change() -> None:
    for studio in (Studio("sd"), JointStudio("flux")):
        base, finder = studio(TEXTS[2:]), FindPlaces.of("cat", "lion")
        with attach(studio.pipe, [finder]):
            assert torch.equal(studio(TEXTS[2:]), base)
        cat, lion = (finder.place(word) for word in ("cat", "lion"))
        assert cat.shape == lion.shape and cat.any() and not cat.all()
        assert finder.found is not None and finder.found._sums  # self-attention spread them
        with pytest.raises(ValueError, match="'dog' of prompt 0, image 0 was not looked at"):
            finder.place("dog")


@pytest.mark.parametrize("name", STUDIOS)
def test_portraits_that_do_not_look_keep_their_bits(name: str) -> None:
    studio = STUDIOS[name]()
    base = studio(TEXTS, num_inference_steps=2)
    for control in (
        AlignStyle(prompts=(2,)),
        ShareTokens(1.0, 1.0, 1.0, sources=(0, 1), prompts=(2,)),
        ShareSubjects(where=(LEFT,) * 3, prompts=(2,)),
    ):
        found = run(studio, control)
        assert torch.equal(found[:2], base[:2]) and not torch.equal(found[2], base[2])
        assert torch.equal(run(studio, replace(control, prompts=())), base)  # type: ignore[type-var]


def test_shared_tokens_are_those_of_the_anchors_subject() -> None:
    studio = Studio("sd")
    base = studio(TEXTS, num_inference_steps=2)
    nowhere = torch.zeros(32, 32)
    none = run(studio, ShareSubjects(where=(nowhere, nowhere, LEFT), anchors=(0, 1)))
    assert torch.equal(none, base)  # the anchors hold no subject
    one = run(studio, ShareSubjects(where=(LEFT, nowhere, nowhere), anchors=(0, 1)))
    assert torch.equal(one[0], base[0]) and not torch.equal(one[1:], base[1:])
    every = run(studio, ShareSubjects(where=((0, 0, 1, 1),) * 3, anchors=(0,), dropout=0.0))
    whole = run(studio, ShareTokens(1.0, 1.0, 1.0, sources=(0,), during=Interval(0.5, 1.0)))
    late = ShareSubjects(where=((0, 0, 1, 1),) * 3, anchors=(0,), dropout=0.0, during=Interval(0.5))
    torch.testing.assert_close(run(studio, late), whole, atol=1e-6, rtol=0)
    assert not torch.equal(every, whole)


def test_otsu_parts_two_kinds() -> None:
    values = torch.cat([torch.full((70,), 0.2), torch.full((30,), 0.8)])
    assert 0.2 < otsu(values) < 0.8 and int(above(values).sum()) == 30
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(400, generator=draw) ** 3
    cuts = torch.linspace(0.01, 0.99, 300)
    apart = [
        (x <= t).float().mean() * (x > t).float().mean() * (x[x <= t].mean() - x[x > t].mean()) ** 2
        for t in cuts
    ]
    best = float(cuts[int(torch.stack(apart).argmax())])
    assert abs(otsu(x) - best) < 0.02
    assert not bool(above(torch.zeros(3, 3)).any()) and bool(above(torch.ones(3, 3)).all())
    with pytest.raises(ValueError, match="expected finite ones"):
        otsu(torch.tensor([float("nan")]))


def subject(name: str = "cat", where: Any = LEFT, **more: Any) -> Subject:
    return Subject(name, where, **{"portrait": 0, **more})


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (IsolateSubjects((subject(), subject())), "subjects: two are called 'cat'"),
        (IsolateSubjects((subject(where=(0.5, 0, 0.2, 1)),)), "the place of 'cat' came as"),
        (IsolateSubjects((subject(where="dog"),)), "'dog' is not in the prompt"),
        (IsolateSubjects((subject(where=torch.ones(2, 2, 2)),)), "mask of shape"),
        (IsolateSubjects(TWO, soft=-1.0), "soft: came -1.0"),
        (IsolateSubjects(TWO, overlap="both"), "overlap: came 'both'"),  # type: ignore[arg-type]
        (IsolateSubjects(TWO, prompts=(0,)), r"prompts: came \[0\] of 3 prompts"),
        (IsolateSubjects(TWO, looks=2.0), "looks: came 2.0"),
        (
            IsolateSubjects((subject(where="cat"), TWO[1]), prompts=(2,)),
            None,
        ),
        (RepositionSubjects((subject(portrait=None),)), "'cat' came without a portrait"),
        (RepositionSubjects((subject(portrait=7),)), "portrait of 'cat' came as prompt 7"),
        (RepositionSubjects((subject(seat=(0, 0, 2, 1)),)), "the seat of 'cat' came as"),
        (RepositionSubjects(TWO, dropout=1.5), "dropout: came 1.5"),
        (RepositionSubjects(TWO, mass="half"), "mass: came 'half'"),  # type: ignore[arg-type]
        (ReadSubjectPrompts(TWO, 2.0), "strength: came 2.0"),
        (AlignStyle(5), "reference: came prompt 5"),
        (FollowSource(read="both"), "read: came 'both'"),  # type: ignore[arg-type]
        (ShareSubjects(), "words: came none"),
        (ShareSubjects(where=(LEFT,)), "where: came 1 places; expected one for each of the 3"),
        (ShareSubjects(("cat",), anchors=(9,)), "anchors: came prompt 9"),
        (ShareSubjects(("cat",), dropout=-1), "dropout: came -1"),
        (ShareTokens(keep=2.0), "keep: came 2.0"),
        (ShareTokens(sources=(4,)), "sources: came prompt 4"),
        (ShareTokens(prompts=(3,)), "prompts: came prompt 3; the run has 0 to 2"),
        (ShareSubjects(where=(LEFT,) * 3, prompts=(-1,)), "prompts: came prompt -1"),
        (AlignStyle(prompts=(7,)), "prompts: came prompt 7"),
        (FindPlaces(("cat",)), "found: came none"),
    ],
)
def test_bad_input_is_said_before_anything_is_drawn(control: Control, message: str | None) -> None:
    from attention_studio.processors import Prompts
    from attention_studio.processors.prompts import TextBlock

    from .conftest import tokenizer

    prompts = Prompts(tuple(TEXTS), 3, 1, (TextBlock("clip", (tokenizer(),), 77),), length=77)
    if message is None:
        assert control.bind(prompts) is not None
        return
    with pytest.raises(ValueError, match=message):
        control.bind(prompts)


def test_a_mask_of_another_shape_and_a_picture_that_is_not_square() -> None:
    studio = Studio("sd")
    wide = run(studio, *ALL, height=32, width=64)
    assert bool(wide.isfinite().all())
    square = (subject(where=torch.ones(32, 32)), TWO[1])
    with pytest.raises(ValueError, match="a mask of 32 x 32; expected the shape of the picture"):
        run(studio, IsolateSubjects(square), height=32, width=64)
