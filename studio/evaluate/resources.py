"""What a model costs: seconds to load, seconds for a picture, peak memory, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from ..pipelines.calls import guidance_arguments, length_arguments, size_arguments
from ..pipelines.load import resolve

__all__ = ["Resources", "measure_resources"]

_PROMPT = "a red cat next to a blue house on grass"


@dataclass(frozen=True)
class Resources:
    """Costs of one model on this machine.

    load_seconds:      from a bare interpreter to a pipeline that is ready: libraries and weights.
    reload_seconds:    the same once the libraries are imported: weights only.
    first_seconds:     the first picture, which also pays for what the libraries do once.
    picture_seconds:   the median of `runs` guided pictures of `steps` steps after the first one.
    peak_memory_bytes: the largest resident set of the process, its libraries included.
    """

    load_seconds: float
    reload_seconds: float
    first_seconds: float
    picture_seconds: float
    peak_memory_bytes: int
    size: tuple[int, int]
    steps: int
    guidance: float
    runs: int
    threads: int

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


def measure_resources(
    model: str | Path,
    *,
    steps: int = 30,
    guidance: float = 5.0,
    runs: int = 3,
    threads: int | None = None,
    timeout_seconds: float = 600.0,
) -> Resources:
    """Load `model` (a name or a folder) in a process of its own on the CPU and draw.

    threads: of torch; None leaves its choice.
    """
    if runs < 1 or steps < 1:
        raise ValueError(f"runs, steps: {runs}, {steps} came; expected at least 1 each")
    resolve(model)  # a wrong name is told at once, not by the other process
    task = json.dumps([str(model), steps, guidance, runs, threads])
    code = f"from {__name__} import _here; _here()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=task,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"model: {model} could not be measured: {last}")
    facts = json.loads(done.stdout.splitlines()[-1])
    return Resources(**{**facts, "size": tuple(facts["size"])})


def _here() -> None:
    """The measuring process: reads its task from stdin, writes one line of JSON to stdout."""
    model, steps, guidance, runs, threads = json.loads(sys.stdin.read())
    start = perf_counter()
    import torch

    from ..pipelines.load import load

    if threads is not None:
        torch.set_num_threads(threads)
    load(model)
    loaded = perf_counter()
    pipe = load(model)
    reloaded = perf_counter()
    seconds = []
    for seed in range(runs + 1):
        before = perf_counter()
        picture = pipe(
            _PROMPT,
            num_inference_steps=steps,
            **guidance_arguments(pipe, guidance),
            **length_arguments(pipe),
            **size_arguments(pipe),
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]
        seconds.append(perf_counter() - before)
    facts = Resources(
        load_seconds=round(loaded - start, 3),
        reload_seconds=round(reloaded - loaded, 3),
        first_seconds=round(seconds[0], 3),
        picture_seconds=round(median(seconds[1:]), 3),
        peak_memory_bytes=_peak_memory_bytes(),
        size=(picture.height, picture.width),
        steps=steps,
        guidance=guidance,
        runs=runs,
        threads=torch.get_num_threads(),
    )
    print(json.dumps(asdict(facts)))


def _peak_memory_bytes() -> int:
    """This program's peak; getrusage, the way elsewhere, counts the parent's too on Linux."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
