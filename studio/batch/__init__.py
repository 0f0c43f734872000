"""Thousands of recipes from a manifest: planned once, drawn crash-proof, indexed and reported."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Batch, Summary, run_batch

__all__ = ["Batch", "Summary", "run_batch"]


def __getattr__(name: str) -> Any:
    """Imported when first asked for: a module of the package alone stays light."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".run", __name__), name)
