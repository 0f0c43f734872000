"""The page Models: what can be run, how well by the judge's figures, and what goes together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from ..capabilities import Matrix, capabilities, controls_of, exceptions
from ..models import Model, find_models
from .desk import Desk
from .literal import literal

__all__ = ["models_page"]


def models_page(desk: Desk) -> None:
    """Draw the page."""
    try:
        found = find_models(desk.settings.models)
    except ValueError as error:
        st.error(literal(str(error)))
        found = find_models()
    if not found:
        st.info("No model yet: `attention-studio train emoji-sd` makes one.")
    for model in found:
        _model(model)
    _together(capabilities())


def _model(model: Model) -> None:
    card = _card(model.path)
    with st.container(border=True):
        st.subheader(literal(model.name), anchor=False)
        side = f"{model.image_size} × {model.image_size} px" if model.image_size else "any size"
        version = f" · version {literal(model.version)}" if model.version else ""
        size = f"{model.size_bytes / 1e6:.1f} MB"
        st.caption(f"{literal(model.family)} · {side} · {size}{version}")
        if model.nouns:
            st.text("Draws " + ", ".join(model.nouns))
        if model.licence:
            st.caption(literal(model.licence))
        figures = card.get("figures")
        if isinstance(figures, dict) and figures:
            with st.expander("The judge's figures"):
                st.table(
                    {
                        "figure": [literal(str(name)) for name in figures],
                        "value": [literal(str(value)) for value in figures.values()],
                    },
                    border="horizontal",
                    hide_index=True,
                )
        elif model.nouns:
            st.caption("The judge's figures of this version are not on its card yet.")


@st.fragment
def _together(matrix: Matrix) -> None:
    """The controls of a family, and only the pairs that do not combine: those are few."""
    st.subheader("What goes together", anchor=False)
    family = st.segmented_control(
        "Family of models",
        list(matrix),
        default=next(iter(matrix)),
        format_func=literal,
        required=True,
    )
    st.caption("Controls that work here. Any of them combine in one run; the tests try every pair.")
    st.text(", ".join(controls_of(matrix[family])))
    for i, (reason, pairs) in enumerate(exceptions(matrix[family]).items()):
        with st.container(key=f"caption_pair_{i}"):
            st.markdown(f"**Not {literal('; '.join(pairs))}**")
            st.text(reason.removeprefix("controls: "))


def _card(path: Path) -> dict[str, Any]:
    try:
        value = json.loads((path / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
