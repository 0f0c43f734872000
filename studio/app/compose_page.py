"""The page Compose: several things in a picture, none lost, and parts with prompts of their own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..models import find_models
from .compose_draft import ComposeDraft, Part
from .desk import Desk
from .draft import unique_words
from .edit_page import sentence
from .job_panel import job_panel
from .literal import literal

__all__ = ["compose_page"]

_KEPT: dict[str, Any] = {"persist_state": "session"}
_JOB = "compose_job"
_MOST_PARTS = 4


def compose_page(desk: Desk) -> None:
    """Draw the page."""
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        draft = _form(desk)
        if st.button("Compose", type="primary", width="stretch", key="compose_go"):
            try:
                st.session_state[_JOB] = desk.submit(draft.recipe()).key
            except ValueError as error:
                st.error(literal(sentence(error)))
    with outcome:
        key = st.session_state.get(_JOB)
        if key is None:
            with st.container(border=True, key="caption_compose"):
                st.markdown("**The picture, and the same without controls, appear here.**")
                st.markdown("The example is ready: press *Compose*.")
        else:
            job_panel(desk, key)


def _form(desk: Desk) -> ComposeDraft:
    example = ComposeDraft()
    prompt = st.text_area(
        "Prompt", example.prompt, key="compose_prompt", height=68, max_chars=2000, **_KEPT
    )
    found = ComposeDraft(prompt=prompt).found
    words = list(dict.fromkeys([*unique_words(prompt), *found]))
    chosen = st.pills(
        "Things that must be there",
        words,
        default=[word for word in found if word in words],
        selection_mode="multi",
        format_func=literal,
        key=f"compose_things_{prompt}",  # another prompt has other things
    )
    left, right = st.columns(2)
    given: dict[str, Any] = {
        "prompt": prompt,
        "concepts": tuple(chosen),
        "apart": left.toggle("Keep them apart", True, key="compose_apart", **_KEPT),
        "kept": right.toggle("Keep each in its place", True, key="compose_kept", **_KEPT),
        "excited": left.toggle("Wake what is neglected", key="compose_excited", **_KEPT),
        "bound": right.toggle("Bind attributes", key="compose_bound", **_KEPT),
        "phrases": left.toggle("Read phrases by themselves", key="compose_phrases", **_KEPT),
    }
    given["strength"] = st.slider(
        "Strength", 0.0, 200.0, example.strength, 1.0, key="compose_strength", **_KEPT
    )
    given |= _parts()
    given |= _settings(desk, example)
    return ComposeDraft(**given)


def _parts() -> dict[str, Any]:
    """Boxes with prompts of their own; those without words are left out."""
    with st.expander("Parts of the picture with their own prompts"):
        count = st.number_input("Parts", 0, _MOST_PARTS, key="compose_parts", **_KEPT)
        parts: list[Part] = []
        for i in range(int(count)):
            text = st.text_input(
                f"Prompt of part {i + 1}", key=f"compose_part_{i}", max_chars=2000, **_KEPT
            )
            left, right = st.columns(2)
            across = left.slider(
                "From left to right", 0, 100, (0, 50), 5, key=f"compose_across_{i}", **_KEPT
            )
            down = right.slider(
                "From top to bottom", 0, 100, (0, 100), 5, key=f"compose_down_{i}", **_KEPT
            )
            if text.strip():
                box = (across[0] / 100, down[0] / 100, across[1] / 100, down[1] / 100)
                parts.append((box, text.strip()))
        base = st.slider(
            "Weight of the prompt within parts", 0.0, 1.0, 0.2, 0.05, key="compose_base", **_KEPT
        )
    return {"parts": tuple(parts), "base": base}


def _settings(desk: Desk, example: ComposeDraft) -> dict[str, Any]:
    with st.expander("Seed, steps and more"):
        left, middle, right = st.columns(3)
        seed = left.number_input("Seed", 0, 2**53 - 1, example.seed, key="compose_seed", **_KEPT)
        steps = middle.number_input("Steps", 1, 200, example.steps, key="compose_steps", **_KEPT)
        guidance = right.number_input(
            "Guidance", 0.0, 30.0, example.guidance, 0.5, key="compose_guidance", **_KEPT
        )
        negative = st.text_input("Not in the picture", key="compose_negative", **_KEPT)
        names = [model.name for model in find_models(desk.settings.models)]
        names = list(dict.fromkeys([example.model, *names]))
        model = st.selectbox("Model", names, key="compose_model", **_KEPT)
    return {
        "seed": int(seed),
        "steps": int(steps),
        "guidance": float(guidance),
        "negative": negative,
        "model": model,
    }
