"""The form of an edit: prompt, word chips, what they become, weights, and the settings below."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import streamlit as st

from ..models import find_models
from .desk import Desk
from .draft import Draft, Mode, stands_in, unique_words, visible, words_of
from .literal import literal

__all__ = ["KEYS", "edit_form", "forget_chips"]

KEYS = {field.name: f"draft_{field.name}" for field in fields(Draft)}
"""Where each part of the draft is kept in the session."""

_MODES: dict[Mode, str] = {
    "swap": "Swap a word",
    "refine": "Refine",
    "reweight": "Re-weight",
}
_WEIGHED, _AROUND, _WEIGHT_OF = "chips_weights", "chips_around", "weight_of_"
_LEAST, _MOST = -3.0, 5.0  # weights
_KEPT: dict[str, Any] = {"persist_state": "session"}


def edit_form(desk: Desk) -> Draft:
    """Draw the form and read it."""
    _fill_in()
    key = KEYS
    prompt = st.text_area("Prompt", key=key["prompt"], height=68, max_chars=2000, **_KEPT)
    mode: Mode = st.segmented_control(
        "What to do",
        list(_MODES),
        format_func=_MODES.__getitem__,
        key=key["mode"],
        required=True,
        width="stretch",
        **_KEPT,
    )
    given: dict[str, Any] = {"prompt": prompt, "mode": mode}
    if mode == "swap":
        given |= _swap(prompt)
    elif mode == "refine":
        given["refined"] = st.text_area(
            "Edited prompt", key=key["refined"], height=68, max_chars=2000, **_KEPT
        )
    edited = Draft(**_rest() | given).edited
    if mode == "swap":
        _shown("Edited prompt", edited)
    given |= _words(mode, prompt, edited)
    given |= _settings(desk)
    return Draft(**_rest() | given)


def forget_chips() -> None:
    """Let chips and weights be set by the draft again, not by what was chosen before."""
    for name in [str(name) for name in st.session_state]:
        if name in (_WEIGHED, _AROUND) or name.startswith(_WEIGHT_OF):
            del st.session_state[name]


def _fill_in() -> None:
    """The example, where nothing is set yet."""
    for field in fields(Draft):
        st.session_state.setdefault(KEYS[field.name], getattr(_EXAMPLE, field.name))


_EXAMPLE = Draft()


def _rest() -> dict[str, Any]:
    return {name: st.session_state[key] for name, key in KEYS.items()}


def _shown(label: str, text: str) -> None:
    with st.container(key="caption_edited"):
        st.caption(label)
        st.text(text or "(empty)")


def _swap(prompt: str) -> dict[str, Any]:
    words = words_of(prompt)
    numbers = [number for number, word in enumerate(words) if visible(word)]
    if st.session_state[KEYS["word"]] not in numbers:
        st.session_state[KEYS["word"]] = numbers[0] if numbers else -1
    if numbers:
        st.pills(
            "Word to replace",
            numbers,
            format_func=lambda number: literal(words[number]),
            key=KEYS["word"],
            required=True,
            **_KEPT,
        )
    else:
        st.caption("The prompt has no word to replace yet.")
    becomes = st.text_input("Becomes", key=KEYS["becomes"], max_chars=200, **_KEPT)
    kept = st.toggle("Leave the rest of the picture as it is", key=KEYS["keep_rest"], **_KEPT)
    word = st.session_state[KEYS["word"]]
    return {"word": word, "becomes": becomes, "keep_rest": kept}


def _words(mode: Mode, prompt: str, edited: str) -> dict[str, Any]:
    """Weights, and the words around which the picture may change."""
    weights = st.session_state[KEYS["weights"]]
    label = "Words to re-weight" if mode == "reweight" else "Also re-weight"
    chosen = _chips(label, _WEIGHED, list(weights), edited)
    start = 2.0 if mode == "reweight" else 1.5
    weights = {word: _weight(word, weights.get(word, start)) for word in chosen}
    st.session_state[KEYS["weights"]] = weights
    if mode == "swap":
        return {"weights": weights}
    around = list(st.session_state[KEYS["around"]])
    around = _chips("Change only around", _AROUND, around, edited, prompt)
    st.session_state[KEYS["around"]] = tuple(around)
    return {"weights": weights, "around": tuple(around)}


def _weight(word: str, at: float) -> float:
    return st.slider(
        f"Weight of {literal(word)}",
        *(_LEAST, _MOST, min(max(float(at), _LEAST), _MOST), 0.1),
        key=f"{_WEIGHT_OF}{word}",
    )


def _chips(label: str, key: str, chosen: list[str], *prompts: str) -> list[str]:
    """Chips of which several may be chosen; phrases that were set from a recipe are chips too."""
    chosen = [word for word in chosen if stands_in(word, *prompts)]
    words = list(dict.fromkeys([*unique_words(*prompts), *chosen]))
    if key not in st.session_state or set(st.session_state[key]) - set(words):
        st.session_state[key] = chosen
    return st.pills(label, words, selection_mode="multi", format_func=literal, key=key)


def _settings(desk: Desk) -> dict[str, Any]:
    key = KEYS
    with st.expander("Seed, steps and more"):
        left, middle, right = st.columns(3)
        seed = left.number_input("Seed", 0, 2**53 - 1, key=key["seed"], **_KEPT)
        steps = middle.number_input("Steps", 1, 200, key=key["steps"], **_KEPT)
        guidance = right.number_input("Guidance", 0.0, 30.0, step=0.5, key=key["guidance"], **_KEPT)
        negative = st.text_input("Not in the picture", key=key["negative"], **_KEPT)
        left, right = st.columns(2)
        hold = left.slider(
            "Follow the source's words", 0.0, 1.0, step=0.05, key=key["hold"], **_KEPT
        )
        layout = right.slider("Follow its layout", 0.0, 1.0, step=0.05, key=key["layout"], **_KEPT)
        names = [model.name for model in find_models(desk.settings.models)]
        names = list(dict.fromkeys([*names, st.session_state[key["model"]]]))
        model = st.selectbox("Model", names, format_func=str, key=key["model"], **_KEPT)
    return {
        "seed": int(seed),
        "steps": int(steps),
        "guidance": float(guidance),
        "negative": negative,
        "hold": float(hold),
        "layout": float(layout),
        "model": model,
    }
