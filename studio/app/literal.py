"""Text as it was typed, where Streamlit would read Markdown: labels, captions, messages.

Backslashes take the meaning from Markdown's signs. Streamlit also replaces `:name:` and arrows such
as `->` in what is left, so an invisible word joiner (U+2060) parts those; it changes no picture of
the text. Where text stands alone, `st.text` needs none of this.
"""

from __future__ import annotations

import re

__all__ = ["literal"]

_JOINER = "\u2060"
_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")
_REPLACED = re.compile(r"(?<=[:<>=~-])(?=[\w<>=-])")


def literal(text: str) -> str:
    """Markdown that shows `text`; line breaks become blanks."""
    parted = _REPLACED.sub(_JOINER, " ".join(text.split()))
    shown = _SIGNS.sub(r"\\\1", parted)
    return shown if shown[:1].isascii() or shown[:1].isalnum() else _JOINER + shown
