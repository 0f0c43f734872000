"""How fast the kernels are, measured beside what a user would run instead."""

from .case import Case
from .edit import WAYS, EditRow, edit_table, measure_edit
from .measure import measure
from .rows import Row, append_csv, table, to_json
from .suites import SUITES

__all__ = [
    "SUITES",
    "WAYS",
    "Case",
    "EditRow",
    "Row",
    "append_csv",
    "edit_table",
    "measure",
    "measure_edit",
    "table",
    "to_json",
]
