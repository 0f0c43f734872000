"""Training of the embedded models: `attention-studio train emoji-sd|emoji-flux|judge|clear`."""

from __future__ import annotations

from .run import run

__all__ = ["run"]
