"""A grounding as a job of the app: what the journal says of it, and where its files are.

The picture is kept under its own hash, so that a page opened again finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..picture_file import open_picture
from ..whole_files import whole
from .settings import GroundSettings

__all__ = ["GROUND", "GroundJob", "is_ground"]

GROUND: Mapping[str, Any] = {"ground": True}
"""Options of jobs; their recipe is `GroundJob.recipe`."""


def is_ground(options: str) -> bool:
    """Whether a job with these options, JSON, is a grounding."""
    return "ground" in json.loads(options)


@dataclass(frozen=True)
class GroundJob:
    """picture: SHA-256 of the file's bytes, in hexadecimal."""

    picture: str
    expression: str
    model: str = "emoji-sd"
    settings: GroundSettings = field(default_factory=GroundSettings)

    @classmethod
    def of(
        cls, data: bytes, expression: str, model: str, settings: GroundSettings, root: Path
    ) -> GroundJob:
        """Keeps the picture below `root`; ValueError for one that is refused, or no words."""
        open_picture(data)
        if not expression.strip():
            raise ValueError("expression: it is empty; expected what to look for")
        job = cls(sha256(data).hexdigest(), expression.strip(), model, settings)
        path = job.path(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            with whole(path) as part:
                part.write_bytes(data)
        return job

    @property
    def recipe(self) -> dict[str, Any]:
        """What the journal keeps."""
        return asdict(self)

    @classmethod
    def read(cls, recipe: str) -> GroundJob:
        """Of a job's recipe, JSON; ValueError for one of another kind of job."""
        said = json.loads(recipe)
        try:
            given = dict(said.pop("settings"))
            given["magnets"] = tuple(given["magnets"])
            given["size"] = None if given["size"] is None else tuple(given["size"])
            return cls(**said, settings=GroundSettings(**given))
        except (KeyError, TypeError) as error:
            raise ValueError(f"recipe: it is no grounding ({error})") from error

    def path(self, root: Path) -> Path:
        """The picture below `root`."""
        return root / "ground" / f"{self.picture}.picture"
