"""The page Models: what can be run, how well by the judge's figures, and what goes together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import streamlit as st

from ..capabilities import Matrix, capabilities
from ..models import Model, find_models
from .desk import Desk
from .literal import literal

__all__ = ["models_page"]

Rows: TypeAlias = Mapping[str, Mapping[str, str]]


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
    """The controls of a family, and only the pairs that do not combine: those are few."""
    st.subheader("What goes together", anchor=False)
    family = st.segmented_control(
        "Family of models",
        list(matrix),
        default=next(iter(matrix)),
        format_func=literal,
        required=True,
    )
    rows = matrix[family]
    st.caption("Controls that work here. Any of them combine in one run; the tests try every pair.")
    st.text(", ".join(_here(rows)))
    for i, (reason, pairs) in enumerate(_exceptions(rows).items()):
        with st.container(key=f"caption_pair_{i}"):
            st.markdown(f"**Not {literal('; '.join(pairs))}**")
            st.text(reason.removeprefix("controls: "))


def _here(rows: Rows) -> list[str]:
    return [name for name in rows if "yes" in rows[name].values()]


def _exceptions(rows: Rows) -> dict[str, list[str]]:
    """Reason -> what it holds for: controls that do not work here, then pairs."""
    here, found = _here(rows), defaultdict[str, list[str]](list)
    for name in rows:
        if name not in here:
            found[rows[name][name]].append(name)
    for i, name in enumerate(here):
        for other in here[i:]:
            if (reason := rows[name][other]) != "yes":
                found[reason].append(f"{name} twice" if other == name else f"{name} with {other}")
    return found


def _card(path: Path) -> dict[str, Any]:
    try:
        value = json.loads((path / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
