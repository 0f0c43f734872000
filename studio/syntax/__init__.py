"""Prompt syntax of other tools, read into this project's own controls."""

from .expand import Expanded, apply_syntax, to_recipe_parts
from .parse import Parsed, Stage, Swap, Weight, parse

__all__ = [
    "Expanded",
    "Parsed",
    "Stage",
    "Swap",
    "Weight",
    "apply_syntax",
    "parse",
    "to_recipe_parts",
]
