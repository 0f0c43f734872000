"""What all visitors share: the journal, its worker, the gallery. One for each process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st

from ..gallery import Gallery
from ..jobs import Job, Journal, MakeRunner, State, Worker, make_session_runner, start_worker
from ..recipe import Recipe
from .settings import Settings

__all__ = ["MOST_WAITING", "Desk", "open_desk", "owner"]

MOST_WAITING = 10  # jobs of one visitor
_OPTIONS: Mapping[str, Any] = {"plain": True, "maps": True}


@dataclass(frozen=True)
class Desk:
    """Ask for a run here; its worker draws it."""

    settings: Settings
    journal: Journal
    gallery: Gallery
    worker: Worker

    def submit(self, recipe: Recipe) -> Job:
        """The job of this recipe; one that is done is done again only when its files are gone."""
        given = recipe.model_dump(mode="json"), _OPTIONS, owner()
        job = self.journal.submit(*given, most_waiting=MOST_WAITING)
        if job.state is State.done and not self.complete(job):
            job = self.journal.submit(*given, most_waiting=MOST_WAITING, afresh=True)
        return job

    def complete(self, job: Job) -> bool:
        """Whether the files that a job made are all there."""
        result = job.result or {}
        names = [*result.get("pictures", ()), *result.get("plain", ())]
        if result.get("maps"):
            names.append(result["maps"]["file"])
        return all(self.path(name).is_file() for name in names)

    def path(self, name: str) -> Path:
        """A file that the journal names."""
        return self.settings.out / name


@st.cache_resource(show_spinner=False)
def open_desk(settings: Settings, _make_runner: MakeRunner | None = None) -> Desk:
    """The desk of these settings, opened by the first visitor.

    The worker has a process of its own on the CPU too: Streamlit collects garbage after each run of
    a page, twice a second while a job is watched. With torch's objects in the same process each
    time took a quarter of a second and stopped the sampling (an edit took five times as long).
    """
    device = _device(settings.device)
    make = partial(make_session_runner, settings.out, settings.models, "emoji-sd")
    return Desk(
        settings,
        Journal(settings.out),
        Gallery(settings.out),
        start_worker(settings.out, _make_runner or make, device, apart=_make_runner is None),
    )


def owner() -> str:
    """Who asks: a name drawn for this visit. A page opened again with its job's key keeps it."""
    return str(st.session_state.setdefault("owner", uuid4().hex))


def _device(name: str) -> str:
    """ "auto" without a driver is the CPU; that much is known without importing torch."""
    if name == "auto" and shutil.which("nvidia-smi") is None:
        return "cpu"
    from ..device import choose_device

    return choose_device(name)
