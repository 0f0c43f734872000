"""A batch as a job of the app: what the journal says of it, and where its files are.

Its folder is named by its manifest and settings, so that the same batch asked for again goes on
where it was, or is there already; `attention-studio batch` can go on in it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..whole_files import write_whole
from .formats import FORMATS
from .plan import Settings
from .run import Batch

__all__ = ["DRAW", "PLAN", "BatchJob", "batch_of", "is_batch"]

PLAN: Mapping[str, Any] = {"batch": "plan"}
DRAW: Mapping[str, Any] = {"batch": "draw"}
"""Options of jobs; their recipe is `BatchJob.recipe`."""


def is_batch(options: str) -> bool:
    """Whether a job with these options, JSON, is one of a batch."""
    return "batch" in json.loads(options)


@dataclass(frozen=True)
class BatchJob:
    """A manifest and the settings of its plan.

    text:     the manifest.    kind: "jsonl", "csv" or "yaml".
    together: rows that one call may draw.
    defaults: fields of rows that do not say them.
    """

    text: str
    kind: str = "jsonl"
    together: int = 1
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise ValueError(f"kind: came {self.kind!r}; expected one of {', '.join(FORMATS)}")
        if not self.text.strip():
            raise ValueError("manifest: it is empty; expected a row for each picture or edit")

    @property
    def recipe(self) -> dict[str, Any]:
        """What the journal keeps: the folder and the settings. ValueError for no Unicode."""
        said = {"kind": self.kind, "together": self.together, "defaults": dict(self.defaults)}
        whole = json.dumps([self.text, said], sort_keys=True, ensure_ascii=False)
        return {"folder": f"batches/{sha256(whole.encode()).hexdigest()[:20]}", **said}

    def write(self, root: Path) -> None:
        """The manifest into its folder below `root`."""
        path = _manifest(self.recipe, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            write_whole(path, self.text)

    @classmethod
    def read(cls, recipe: str, root: Path) -> BatchJob:
        """Of a job's recipe, JSON; OSError when its manifest is gone."""
        said = json.loads(recipe)
        text = _manifest(said, root).read_bytes().decode()
        return cls(text, said["kind"], said["together"], said["defaults"])


def batch_of(recipe: str, root: Path, folders: Sequence[Path] = ()) -> Batch:
    """What to run for a job's recipe, JSON; its pictures, journal and report are in `out`."""
    said = json.loads(recipe)
    path = _manifest(said, root)
    settings = Settings(path, said["kind"], said["defaults"], together=said["together"])
    return Batch(settings, path.parent, folders=folders)


def _manifest(said: Mapping[str, Any], root: Path) -> Path:
    return root / str(said["folder"]) / f"manifest.{said['kind']}"
