"""Suites that measure models and methods on emoji world with the judge."""

from .base import Figures, Table, evaluate_base

__all__ = ["Figures", "Table", "evaluate_base"]
