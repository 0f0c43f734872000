"""The app in the browser: pages, panels and the launcher. Sampling happens in a job's worker."""

from .settings import Settings

__all__ = ["Settings"]
