"""How fast the kernels are, measured beside what a user would run instead."""

from .case import Case
from .measure import measure
from .rows import Row, append_csv, table, to_json
from .suites import SUITES

__all__ = ["SUITES", "Case", "Row", "append_csv", "measure", "table", "to_json"]
