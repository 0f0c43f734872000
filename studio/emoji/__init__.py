"""Emoji world: scenes whose truth is known, small models that draw them, a judge that reads them.

Importing this does not import torch; the judge does on its first picture.
"""

from __future__ import annotations

# Not lazily: functions that bear their module's name would be hidden by it.
from .expect import Expectation, expect
from .judge import judge, judge_many
from .plan import Plan
from .render import Rendered, Scene, render
from .sample import sample_plan
from .score import Score, score

__all__ = [
    "Expectation",
    "Plan",
    "Rendered",
    "Scene",
    "Score",
    "expect",
    "judge",
    "judge_many",
    "render",
    "sample_plan",
    "score",
]
