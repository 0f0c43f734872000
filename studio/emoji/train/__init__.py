"""Training of the embedded models, one command each: `attention-studio train emoji-sd|judge`."""

from __future__ import annotations

from .run import run

__all__ = ["run"]
