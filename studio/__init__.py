"""Steer the attention of diffusion models: a run is a recipe, a recipe names controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipelines.load import load
    from .processors.attach import attach
    from .recipe import Recipe
    from .session import Session

__version__ = "0.1.0"

__all__ = ["Recipe", "Session", "attach", "load"]


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: `import attention_studio` stays instant."""
    from importlib import import_module

    homes = {
        "Recipe": ".recipe",
        "Session": ".session",
        "attach": ".processors.attach",
        "load": ".pipelines.load",
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(homes[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _dev_path() -> None:
    """In a checkout, `attention_studio.pipelines` and its peers lie one folder up."""
    from pathlib import Path

    here = Path(__file__).resolve().parent
    if here.name == "studio" and (here.parent / "pyproject.toml").is_file():
        __path__.append(str(here.parent))


_dev_path()
