"""Manifests for tests, and a digest of everything that a batch has written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from attention_studio.batch.run import Batch

__all__ = ["FOUR", "MakeBatch", "ROWS", "tree", "write_manifest"]

MakeBatch = Callable[..., Batch]


def write_manifest(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    """One JSON object a line; a text is written as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def tree(folder: Path) -> dict[str, str]:
    """Each file below it, as it is: the same pictures are the same tree."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


ROWS: list[dict[str, Any]] = [
    {"id": "swap", "prompt": "a cat on grass", "to": "a dog on grass", "words": ["cat", "dog"]},
    {"id": "seeds", "prompt": "a cat", "to": "a dog", "seeds": 3},
    {"id": "plain-0", "prompt": "a red car"},
    {"id": "plain-1", "prompt": "a blue car", "seed": 7},
    {"id": "two", "prompts": ["a frog", "a bear"]},
]
"""Seven rows: edits, seeds of one edit, plain pictures, two pictures in a row."""

FOUR: list[dict[str, Any]] = [{"id": f"{i}", "prompt": f"a cat {i}"} for i in range(4)]
"""Rows of one shape, which may share a call."""
