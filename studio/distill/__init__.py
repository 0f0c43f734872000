"""Teaches a FLUX model to draw with local windows what it drew with full attention."""

from __future__ import annotations

from .settings import Distillation
from .trainer import Distilled, distill

__all__ = ["Distillation", "Distilled", "distill"]
