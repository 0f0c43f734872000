"""The page Compose: several things in a picture, none lost, and parts with prompts of their own."""

from __future__ import annotations

import streamlit as st

from ..recipe import Recipe
from .asking import adopt_recipe, ask
from .compose_draft import MOST_PARTS, MOST_STRENGTH, ComposeDraft, Part
from .desk import Desk
from .draft import MOST_CHARACTERS, unique_words
from .form_keys import FormKeys
from .job_panel import job_panel
from .literal import literal
from .run_fields import KEPT, run_fields

__all__ = ["compose_page", "take_over_composition"]

_JOB = "compose_job"
_OF = "compose_concepts_of"  # the prompt whose things the chips are
_KEYS = FormKeys("compose", ComposeDraft(), without=("concepts", "parts"))
_CONCEPTS = "compose_concepts"
_COUNT = "compose_parts"
_SWITCHES = (
    ("apart", "Keep them apart", "No two things are looked for in the same place (A-STAR)."),
    (
        "kept",
        "Keep each in its place",
        "A thing that has begun to form stays where it is (A-STAR).",
    ),
    (
        "excited",
        "Help what is missing",
        "A thing that is hardly looked for is looked for more (Attend-and-Excite).",
    ),
    ("bound", "Keep colours with their things", "“Red” is looked for where the cat is (SynGen)."),
    (
        "phrases",
        "Read each phrase by itself",
        "“A red cat” is also read without the rest of the prompt (Structured Diffusion).",
    ),
)


def compose_page(desk: Desk) -> None:
    """Draw the page."""
    adopt_recipe(desk, _JOB, take_over_composition)
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _fill_in()
        _things()
        _parts()
        _settings(desk)
        _go(desk)
    with outcome:
        job_panel(desk, _JOB, "the picture and the same prompt without control", "*Compose*")


def take_over_composition(recipe: Recipe) -> bool:
    """Set the form to a recipe; False, and nothing done, when the form cannot show it."""
    draft = ComposeDraft.of(recipe)
    if draft is None:
        return False
    state = st.session_state
    state.pop(_JOB, None)
    _KEYS.show(draft)
    state[_CONCEPTS] = list(draft.found)
    state[_OF] = draft.prompt
    state[_COUNT] = len(draft.parts)
    for i, ((left, top, right, bottom), text) in enumerate(draft.parts):
        state[f"compose_part_{i}"] = text
        state[f"compose_across_{i}"] = (round(100 * left), round(100 * right))
        state[f"compose_down_{i}"] = (round(100 * top), round(100 * bottom))
    return True


def _fill_in() -> None:
    """The example, where nothing is set yet."""
    _KEYS.fill_in()
    st.session_state.setdefault(_COUNT, 0)


def _draft_so_far() -> ComposeDraft:
    """What the forms say; parts without words are left out."""
    state, parts = st.session_state, list[Part]()
    for i in range(int(state[_COUNT])):
        text = state[f"compose_part_{i}"].strip()
        (left, right), (top, bottom) = state[f"compose_across_{i}"], state[f"compose_down_{i}"]
        if text:
            parts.append(((left / 100, top / 100, right / 100, bottom / 100), text))
    return ComposeDraft(**_KEYS.said(), concepts=tuple(state[_CONCEPTS]), parts=tuple(parts))


@st.fragment
def _things() -> None:
    """A fragment, as each form here is: what is clicked draws only its own part again."""
    prompt = st.text_area(
        "Prompt", key=_KEYS["prompt"], height=68, max_chars=MOST_CHARACTERS, **KEPT
    )
    found = ComposeDraft(prompt=prompt).found
    words = list(dict.fromkeys([*unique_words(prompt), *found]))
    if st.session_state.get(_OF) != prompt:
        st.session_state[_OF] = prompt
        st.session_state[_CONCEPTS] = [word for word in found if word in words]
    chosen = st.session_state[_CONCEPTS]
    words = list(dict.fromkeys([*words, *chosen]))
    st.pills(
        "Things that must be there",
        words,
        selection_mode="multi",
        format_func=literal,
        key=_CONCEPTS,
        **KEPT,
    )
    if not chosen and found:
        st.caption(literal(f"None is chosen, so these count: {', '.join(found)}."))
    for name, label, said in _SWITCHES:
        st.toggle(label, key=_KEYS[name], help=said, **KEPT)
    st.slider(
        "Strength",
        *(0.0, MOST_STRENGTH),
        step=0.25,
        key=_KEYS["strength"],
        help="How far each step may move the picture towards what is switched on, as a factor of "
        "what each method does by itself; 0: not at all.",
        **KEPT,
    )


@st.fragment
def _parts() -> None:
    """Boxes with prompts of their own."""
    with st.expander("Parts of the picture with their own prompts"):
        count = st.number_input("Parts", 0, MOST_PARTS, key=_COUNT, **KEPT)
        for i in range(int(count)):
            text, across, down = (f"compose_{name}_{i}" for name in ("part", "across", "down"))
            for name, start in ((text, ""), (across, (0, 50)), (down, (0, 100))):
                st.session_state.setdefault(name, start)
            st.text_input(f"Prompt of part {i + 1}", key=text, max_chars=MOST_CHARACTERS, **KEPT)
            left, right = st.columns(2)
            for side, label, name in (
                (left, "From left to right, %", across),
                (right, "From top to bottom, %", down),
            ):
                side.slider(label, 0, 100, step=5, key=name, **KEPT)
        st.toggle(
            "Hold things in their parts",
            key=_KEYS["placed"],
            help="What a part and the whole prompt both name, such as “a cat”, is moved into the "
            "part (layout guidance).",
            **KEPT,
        )
        st.slider(
            "Weight of the whole prompt within parts",
            *(0.0, 1.0),
            step=0.05,
            key=_KEYS["base"],
            **KEPT,
        )


@st.fragment
def _settings(desk: Desk) -> None:
    with st.expander("Seed, steps and more"):
        run_fields(desk, _KEYS)


@st.fragment
def _go(desk: Desk) -> None:
    if st.button("Compose", type="primary", width="stretch", key="compose_go"):
        ask(lambda: desk.submit(_draft_so_far().recipe()), _JOB)
