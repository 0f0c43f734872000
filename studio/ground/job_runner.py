"""The runner of groundings as jobs of the app, on the warm session of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs import Job, Report
from ..picture_file import open_picture
from .files import facts_of, save_grounding
from .job import GroundJob

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["GroundRunner"]


class GroundRunner:
    """A job's result is the facts of its grounding and the names of its files below `root`."""

    def __init__(self, session: Session, root: Path) -> None:
        self._session, self._root = session, root

    def __call__(self, job: Job, report: Report) -> Mapping[str, Any]:
        asked = GroundJob.read(job.recipe)
        asked.settings.check(asked.expression)  # bad input before the model
        picture = open_picture(asked.path(self._root)).image()
        self._session.warm(asked.model)
        report.progress(0, 1)
        found = asked.settings.ground(self._session.pipe, picture, asked.expression)
        report.progress(1, 1)
        folder = asked.path(self._root).parent
        files = save_grounding(found, picture, folder, job.key, {"model": asked.model})
        names = {k: path.relative_to(self._root).as_posix() for k, path in files.paths.items()}
        return facts_of(found) | {"model": asked.model, "files": names}
