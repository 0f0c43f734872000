"""A job: one recipe to run once, whoever and however many ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

__all__ = ["Job", "State", "canonical", "job_key"]


class State(StrEnum):
    """waiting -> running -> done, failed or cancelled; back to waiting when a worker was lost."""

    waiting = "waiting"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def ended(self) -> bool:
        """Nothing more will happen to the job."""
        return self not in (State.waiting, State.running)


@dataclass(frozen=True)
class Job:
    """A row of the journal as it was when it was read.

    key:     what the job is: `job_key` of its recipe and options.
    recipe:  JSON object; options: JSON object of what is no part of the recipe (`plain`, …).
    tries:   times a worker took it.
    done, total: steps; total is 0 until the first is reported.
    result:  what its runner returned; of a job that is not done, what there is of it.
    error:   one sentence; None unless failed.
    asked, started, ended: Unix seconds.
    """

    id: int
    key: str
    owner: str
    state: State
    recipe: str
    options: str
    tries: int
    done: int
    total: int
    cancel: bool
    result: dict[str, Any] | None
    error: str | None
    asked: float
    started: float | None
    ended: float | None


def canonical(value: Mapping[str, Any]) -> str:
    """The one way to write a JSON object: sorted keys, no blanks, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def job_key(recipe: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Twenty hexadecimal digits that differ when anything in the recipe or the options does."""
    return sha256(f"{canonical(recipe)}\n{canonical(options)}".encode()).hexdigest()[:20]
