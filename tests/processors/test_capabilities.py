"""The page of what goes together is what running pairs says; each family runs a part of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from attention_studio.capabilities import read_page

from .capabilities import CONTROLS, FAMILIES, PAIRS, verdicts

SAY = "run `python -m tests.processors.capabilities > docs/capabilities.md`, then `make docs`"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_is_up_to_date(root: Path, family: str) -> None:
    written = read_page((root / "docs" / "capabilities.md").read_text(encoding="utf-8"))[family]
    assert list(written) == list(CONTROLS), SAY
    alone = {(name, name) for name in CONTROLS}
    apart = [pair for pair in PAIRS if pair not in alone]
    shared = apart[list(FAMILIES).index(family) :: len(FAMILIES)]
    for (first, second), found in verdicts(family, (*alone, *shared)).items():
        assert written[first][second] == found, SAY
