"""The page Models: what can be run, how well by the judge's figures, and what goes together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from ..capabilities import Matrix, capabilities
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
        st.info("No model yet: `attention-studio train emoji-sd` makes the embedded one.")
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
    """Control by control; columns are numbered, so that the table fits a narrow screen."""
    st.subheader("What goes together", anchor=False)
    st.caption("The tests run every pair: ✓ where the two combine, else the reason why not.")
    family = st.segmented_control(
        "Family", list(matrix), default=next(iter(matrix)), format_func=literal, required=True
    )
    rows = matrix[family]
    names, marks = list(rows), {"yes": "✓"}
    table = {"": [f"{i} {name}" for i, name in _numbered(names)]}
    for i, other in _numbered(names):
        said = [rows[name][other] for name in names]
        table[f"{i}"] = [marks.setdefault(text, f"({len(marks)})") for text in said]
    st.table(table, border="horizontal", width="content", hide_index=True)
    for sentence, mark in list(marks.items())[1:]:
        st.text(f"{mark} {sentence}")


def _numbered(names: list[str]) -> list[tuple[int, str]]:
    return list(enumerate(names, start=1))


def _card(path: Path) -> dict[str, Any]:
    try:
        value = json.loads((path / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
