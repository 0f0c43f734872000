"""The page of what goes together is what running every pair says."""

from __future__ import annotations

from pathlib import Path

from .capabilities import page


def test_the_page_is_up_to_date(root: Path) -> None:
    written = (root / "docs" / "capabilities.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m tests.processors.capabilities > docs/capabilities.md`"
