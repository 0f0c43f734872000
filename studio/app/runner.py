"""What the app's worker runs: jobs of all pages, on one warm session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..batch.job import is_batch
from ..ground.job import is_ground
from ..jobs import Job, Report, Runner, SessionRunner, warm_session
from ..story import is_story

__all__ = ["make_app_runner"]


def make_app_runner(folder: Path, models: Sequence[Path], warm: str | None, device: str) -> Runner:
    """A runner that saves in `folder`.

    models: folders with further models.    warm: the model to load at once.
    """
    from ..batch.job_runner import BatchRunner
    from ..gallery import Gallery
    from ..ground.job_runner import GroundRunner
    from ..story.job_runner import StoryRunner

    session = warm_session(models, warm, device)
    recipes = SessionRunner(session, Gallery(folder))
    batches = BatchRunner(session, folder, models)
    groundings = GroundRunner(session, folder)
    stories = StoryRunner(session, folder, models)

    def run(job: Job, report: Report) -> Mapping[str, Any]:
        if is_ground(job.options):
            return groundings(job, report)
        if is_story(job.options):
            return stories(job, report)
        return (batches if is_batch(job.options) else recipes)(job, report)

    return run
