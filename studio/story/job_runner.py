"""The runner of stories as jobs of the app, on the warm session of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs import Job, Report
from ..models import describe
from .files import save_story
from .job import StoryJob
from .run import draw_story

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["StoryRunner"]


class StoryRunner:
    """A job's result is what `story.json` says, its files named below `root`."""

    def __init__(self, session: Session, root: Path, models: Sequence[Path] = ()) -> None:
        self._session, self._root, self._models = session, root, tuple(models)

    def __call__(self, job: Job, report: Report) -> Mapping[str, Any]:
        recipe = StoryJob.read(job.recipe).story
        about = describe(recipe.model, self._models)
        self._session.warm(recipe.model)
        folder = self._root / "stories"
        drawn = draw_story(
            self._session.pipe,
            about,
            recipe,
            folder / "portraits",
            progress=report.progress,
            cancel=report.to_stop,
        )
        facts = save_story(drawn, folder)
        scenes = [
            {**scene, **{kind: self._below(scene[kind]) for kind in ("image", "rehearsal")}}
            for scene in facts["scenes"]
        ]
        names = {f"portrait {word}": self._below(path) for word, path in facts["portraits"].items()}
        names |= {f"scene {i}": scene["image"] for i, scene in enumerate(scenes, 1)}
        names["sheet"] = self._below(facts["sheet"])
        return {**facts, "scenes": scenes, "files": names}

    def _below(self, path: str | None) -> str | None:
        return None if path is None else Path(path).relative_to(self._root).as_posix()
