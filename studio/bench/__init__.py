"""How fast the kernels are, measured beside what a user would run instead."""

from .case import Case
from .compose import COMPOSE_WAYS, ComposeRow, measure_compose
from .edit import WAYS, measure_edit
from .measure import measure
from .rows import Row, append_csv, table, to_json
from .runs import RunRow, runs_table
from .suites import SUITES

__all__ = [
    "COMPOSE_WAYS",
    "SUITES",
    "WAYS",
    "Case",
    "ComposeRow",
    "Row",
    "RunRow",
    "append_csv",
    "measure",
    "measure_compose",
    "measure_edit",
    "runs_table",
    "table",
    "to_json",
]
