"""The form of an edit: prompt, word chips, what they become, weights, and the settings below."""

from __future__ import annotations

import streamlit as st

from .desk import Desk
from .draft import (
    MOST_CHARACTERS,
    WEIGHTS,
    Draft,
    Mode,
    stands_in,
    unique_words,
    visible,
    words_of,
)
from .form_keys import FormKeys
from .literal import literal
from .run_fields import KEPT, run_fields

__all__ = ["KEYS", "draft_so_far", "fill_in", "forget_chips", "settings_form", "words_form"]

KEYS = FormKeys("draft", Draft())
"""Where each part of the draft is kept in the session."""

_MODES: dict[Mode, str] = {
    "swap": "Swap a word",
    "refine": "Refine",
    "reweight": "Re-weight",
}
_HOLD = [i / 20 for i in range(21)]
_WEIGHED, _AROUND, _WEIGHT_OF = "chips_weights", "chips_around", "weight_of_"
_WORD_SHOWN = "word_shown"


def fill_in() -> None:
    """The example, where nothing is set yet. Comes before the forms."""
    KEYS.fill_in()


def draft_so_far() -> Draft:
    """What the forms say."""
    said = KEYS.said()
    return Draft(**said | {"word": _word(said["prompt"])})


@st.fragment
def words_form() -> None:
    """What to change. A fragment: what is typed and clicked here draws only this part again."""
    prompt = st.text_area(
        "Prompt", key=KEYS["prompt"], height=68, max_chars=MOST_CHARACTERS, **KEPT
    )
    mode: Mode = st.segmented_control(
        "What to do",
        list(_MODES),
        format_func=_MODES.__getitem__,
        key=KEYS["mode"],
        required=True,
        width="stretch",
        **KEPT,
    )
    _change(mode, prompt)


@st.fragment
def settings_form(desk: Desk) -> None:
    """How to draw it. A fragment of its own, since it has most of the page's widgets."""
    with st.expander("Seed, steps and more"):
        run_fields(desk, KEYS)
        left, right = st.columns(2)
        said, hold = "The part of the steps in which the edit ", st.session_state[KEYS["hold"]]
        left.select_slider(
            "Follow the source's words",
            [None, *sorted({*_HOLD, *([] if hold is None else [hold])})],
            format_func=lambda part: "what suits the model" if part is None else f"{part:g}",
            key=KEYS["hold"],
            help=f"{said}looks for words where the source did.",
            **KEPT,
        )
        right.slider(
            "Follow the source's layout",
            *(0.0, 1.0),
            step=0.05,
            key=KEYS["layout"],
            help=f"{said}is laid out as the source is.",
            **KEPT,
        )


def forget_chips() -> None:
    """Let chips and weights be set by the draft again, not by what was chosen before."""
    for name in [str(name) for name in st.session_state]:
        if name in (_WEIGHED, _AROUND) or name.startswith(_WEIGHT_OF):
            del st.session_state[name]


def _shown(label: str, text: str) -> None:
    with st.container(key="caption_edited"):
        st.caption(label)
        st.text(text or "(empty)")


@st.fragment
def _change(mode: Mode, prompt: str) -> None:
    """A fragment within one: chips need neither the prompt's field nor the mode's drawn again."""
    if mode == "swap":
        _swap(prompt)
    elif mode == "refine":
        st.text_area(
            "Edited prompt", key=KEYS["refined"], height=68, max_chars=MOST_CHARACTERS, **KEPT
        )
    _words(mode, prompt, draft_so_far().edited)


def _word(prompt: str) -> int:
    """The number of the word to replace, -1 where there is none.

    A browser answers with the chip's text. An answer that was on its way when the prompt changed
    means no chip, and the session has None: then it is the word in the place shown last.
    """
    numbers = _numbers(prompt)
    said, shown = st.session_state[KEYS["word"]], st.session_state.get(_WORD_SHOWN)
    return next((number for number in (said, shown) if number in numbers), [*numbers, -1][0])


def _numbers(prompt: str) -> list[int]:
    return [number for number, word in enumerate(words_of(prompt)) if visible(word)]


def _swap(prompt: str) -> None:
    words, numbers, number = words_of(prompt), _numbers(prompt), _word(prompt)
    st.session_state[_WORD_SHOWN] = number
    if st.session_state[KEYS["word"]] != number:
        st.session_state[KEYS["word"]] = number
    if numbers:
        st.pills(
            "Word to replace",
            numbers,
            format_func=lambda number: literal(words[number]),
            key=KEYS["word"],
            required=True,
            **KEPT,
        )
    else:
        st.caption("The prompt has no word to replace yet.")
    st.text_input("Becomes", key=KEYS["becomes"], max_chars=200, **KEPT)
    st.toggle("Leave the rest of the picture as it is", key=KEYS["keep_rest"], **KEPT)
    _shown("Edited prompt", draft_so_far().edited)


def _words(mode: Mode, prompt: str, edited: str) -> None:
    """Weights, and the words around which the picture may change."""
    weights = st.session_state[KEYS["weights"]]
    label = "Words to re-weight" if mode == "reweight" else "Also re-weight"
    said = "A word of weight 2 counts double, one of weight 0 not at all."
    chosen = _chips(label, said, _WEIGHED, list(weights), edited)
    start = 2.0 if mode == "reweight" else 1.5
    st.session_state[KEYS["weights"]] = {
        word: _weight(word, weights.get(word, start)) for word in chosen
    }
    if mode != "swap":
        around = list(st.session_state[KEYS["around"]])
        said = "The things near which the picture may change; none chosen: everywhere."
        around = _chips("Change only around", said, _AROUND, around, edited, prompt)
        st.session_state[KEYS["around"]] = tuple(around)


def _weight(word: str, at: float) -> float:
    return st.slider(
        f"Weight of {literal(word)}",
        *(*WEIGHTS, min(max(float(at), WEIGHTS[0]), WEIGHTS[1]), 0.1),
        key=f"{_WEIGHT_OF}{word}",
    )


def _chips(label: str, said: str, key: str, chosen: list[str], *prompts: str) -> list[str]:
    """Chips of which several may be chosen; phrases that were set from a recipe are chips too."""
    chosen = [word for word in chosen if stands_in(word, *prompts)]
    words = list(dict.fromkeys([*unique_words(*prompts), *chosen]))
    if key not in st.session_state or set(st.session_state[key]) - set(words):
        st.session_state[key] = chosen
    return st.pills(label, words, selection_mode="multi", format_func=literal, key=key, help=said)
