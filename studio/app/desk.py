"""What all visitors share: the journal and the gallery. The launcher has started the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import streamlit as st

from ..gallery import Gallery
from ..jobs import Job, Journal, State
from ..models import Model, describe
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

    def submit(self, recipe: Recipe) -> Job:
        """The job of this recipe; one that is done is done again only when its files are gone."""
        return self.submit_job(recipe.model_dump(mode="json"), _OPTIONS)

    def submit_job(self, recipe: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
        """The same for a job of any kind, whose runner `options` choose."""
        given = recipe, options, owner()
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
        names += result.get("files", {}).values()
        return all(self.path(name).is_file() for name in names)

    def model(self, name: str) -> Model | None:
        """What is known of a model; None when it is gone, which a run says."""
        try:
            return describe(name, self.settings.models)
        except ValueError:
            return None

    def path(self, name: str) -> Path:
        """A file that the journal names."""
        return self.settings.out / name


@st.cache_resource(show_spinner=False)
def open_desk(settings: Settings) -> Desk:
    """The desk of these settings, opened by the first visitor."""
    return Desk(settings, Journal(settings.out), Gallery(settings.out))


def owner() -> str:
    """Who asks: a name drawn for this visit. A page opened again with its job's key keeps it."""
    return str(st.session_state.setdefault("owner", uuid4().hex))
