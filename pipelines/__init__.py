"""Stock diffusers pipelines: loaded from local folders, later with a method mixed in."""

from .load import load

__all__ = ["load"]
