"""Runners without a model, at the top of a module so that a child process finds them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_studio.jobs import Job, Journal, Report, work


def counting(device: str) -> object:
    """Step through `steps`, each `step_s` long; write down each start beside the journal."""

    def run(job: Job, report: Report) -> Mapping[str, Any]:
        recipe = json.loads(job.recipe)
        if "log" in recipe:
            with Path(recipe["log"]).open("a", encoding="utf-8") as log:
                log.write(f"{recipe['name']}\n")
        if recipe.get("fail"):
            raise ValueError(recipe["fail"])
        steps = recipe.get("steps", 1)
        for step in range(steps):
            if report.to_stop():
                raise RuntimeError("stopped")
            time.sleep(recipe.get("step_s", 0.0))
            report.progress(step + 1, steps)
            report.preview(b"picture %d" % step)
            if recipe.get("so_far") == step:
                report.so_far({"so": "far"})
        return {"name": recipe["name"], "device": device}

    return run


def placed(device: str) -> object:
    """Say where the operating system has put this process."""
    group = Path("/proc/self/autogroup")

    def run(job: Job, report: Report) -> Mapping[str, Any]:
        return {
            "nice": os.nice(0),
            "session": os.getsid(0),
            "autogroup": group.read_text(encoding="ascii") if group.is_file() else None,
        }

    return run


def main() -> None:
    """`python runners.py FOLDER LEASE_S`: a worker that lives until it is killed."""
    work(
        Journal(Path(sys.argv[1])),
        counting,  # type: ignore[arg-type]
        "cpu",
        stop=lambda: False,
        lease_s=float(sys.argv[2]),
    )


if __name__ == "__main__":
    main()
