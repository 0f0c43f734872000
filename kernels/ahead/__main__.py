"""`make ptx`: compiles every kernel that ships for GPUs that need not be there, and checks it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .check import check
from .specialization import Specialization


def main() -> int:
    """0 when every rule holds, 1 when one is broken."""
    parser = argparse.ArgumentParser(prog="make ptx", description=__doc__)
    parser.add_argument("--record", type=Path, help="CSV of committed figures to compare with")
    parser.add_argument("--refresh", action="store_true", help="write the CSV, compare nothing")
    parser.add_argument("--commit", default="", help="what the written rows say of their sources")
    parser.add_argument("--only", default="", help="kernels whose name contains this; no record")
    asked = parser.parse_args()
    specs = [spec for spec in shipped() if asked.only in spec.name]
    record = None if asked.only else asked.record
    broken = check(specs, record, refresh=asked.refresh, commit=asked.commit)
    for line in broken:
        print(f"ptx: {line}", file=sys.stderr)
    return 1 if broken else 0


def shipped() -> list[Specialization]:
    """Every kernel in every configuration: each `triton.py` under kernels/ is named here."""
    from ..disc import triton as disc
    from ..labelled import triton as labelled
    from ..maps import triton as maps
    from ..merge import triton as merge

    return [
        *disc.specializations(),
        *labelled.specializations(),
        *maps.specializations(),
        *merge.specializations(),
    ]


if __name__ == "__main__":
    sys.exit(main())
