"""What a page under test says, and its buttons."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest


def text_of(at: AppTest) -> str:
    """All text of a page."""
    kinds = (at.text, at.markdown, at.caption, at.error, at.warning, at.info, at.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def button(at: AppTest, label: str) -> Any:
    return next(button for button in at.button if button.label == label)
