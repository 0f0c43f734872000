"""Attention of some rows over some keys in plain torch: what the CPU paths are made of."""

from .backward import KeyGradients, RowGradients
from .forward import SCORES, Keys, Rows

__all__ = ["KeyGradients", "Keys", "RowGradients", "Rows", "SCORES"]
