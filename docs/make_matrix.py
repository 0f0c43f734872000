"""Writes studio/capabilities.json, which is part of the package, from docs/capabilities.md."""

from __future__ import annotations

import json
from pathlib import Path

from attention_studio.capabilities import read_page

HERE = Path(__file__).parent


def matrix() -> str:
    """The JSON text."""
    page = (HERE / "capabilities.md").read_text(encoding="utf-8")
    return json.dumps(read_page(page), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE.parent / "studio" / "capabilities.json").write_text(matrix(), encoding="utf-8")
