"""The look: paper and ink by day, slate by night, one quiet blue; a little CSS for spacing."""

from __future__ import annotations

__all__ = ["CSS", "options"]

_LIGHT = (
    ("primaryColor", "#33608f"),
    ("backgroundColor", "#fcfbf8"),
    ("secondaryBackgroundColor", "#f1efe9"),
    ("textColor", "#22252a"),
    ("borderColor", "#dedad0"),
    ("linkColor", "#33608f"),
)
_DARK = (
    ("primaryColor", "#5085be"),
    ("backgroundColor", "#16181c"),
    ("secondaryBackgroundColor", "#20242a"),
    ("textColor", "#e7e5df"),
    ("borderColor", "#363b43"),
    ("linkColor", "#8fb6e0"),
)
_BOTH = (
    ("baseRadius", "0.4rem"),
    ("baseFontSize", "15"),
    ("showWidgetBorder", "true"),
    *(("headingFontSizes", size) for size in ("1.5rem", "1.2rem", "1.05rem")),
)

CSS = """
.stMainBlockContainer { max-width: 78rem; padding-top: 4.5rem; padding-bottom: 4rem; }
[data-testid="stText"] { white-space: pre-wrap; overflow-wrap: anywhere; }
[class*="st-key-caption"] [data-testid="stText"] { font-size: 0.85rem; line-height: 1.35;
  opacity: 0.85; }
[class*="st-key-caption"] { gap: 0.15rem; }
[class*="st-key-thumb"] [data-testid="stText"] { font-size: 0.85rem; line-height: 1.35;
  height: 2.7em; overflow: hidden; }
[data-testid="stTable"] td:first-child { white-space: nowrap; }
[data-testid="stImage"] img { border-radius: 0.3rem; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 1rem; padding-right: 1rem; padding-top: 4rem; }
}
"""


def options() -> tuple[tuple[str, str], ...]:
    """Streamlit's options, names and values."""
    return (
        *((f"theme.{name}", value) for name, value in _BOTH),
        *((f"theme.light.{name}", value) for name, value in _LIGHT),
        *((f"theme.dark.{name}", value) for name, value in _DARK),
    )
