"""The training loop all models share: warm-up, EMA, progress, checkpoints, resuming."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .optimizer import Optimizer

__all__ = ["Budget", "Trained", "fit", "trained_so_far"]


@dataclass(frozen=True)
class Budget:
    """How long and on what a model trains.

    folder:  where checkpoints go; an interrupted run resumes from there.
    minutes: wall time of this run; the learning rate falls to zero over its last `decay` part.
    threads: CPU threads; None leaves torch's choice.
    workers: processes that draw an image model's pictures; 0 = it draws them itself.
    """

    folder: Path
    minutes: float
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    workers: int = 0
    resume: bool = True
    batch: int = 16
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay: float = 0.3
    ema: float = 0.999
    checkpoint_seconds: float = 300.0


@dataclass(frozen=True)
class Trained:
    """What a run did, over all its resumptions."""

    steps: int
    pictures: int
    seconds: float
    loss: float


def trained_so_far(budget: Budget) -> Trained:
    """What the checkpoint that a run resumes from has behind it; zeros without one."""
    if not budget.resume or not _checkpoint(budget).is_file():
        return Trained(0, 0, 0.0, math.nan)
    with safe_open(_checkpoint(budget), "pt") as file:
        return Trained(**json.loads(file.metadata()["trained"]))


def fit(
    model: nn.Module, loss_of: Callable[[int], Tensor], budget: Budget, *, title: str
) -> Trained:
    """Train `model` in place by `loss_of(step)`; on return it holds the averaged (EMA) weights.

    Resuming takes the weights, the average and the counters; the optimizer starts anew and
    warms up again.
    """
    before = trained_so_far(budget)
    average = {name: value.detach().clone() for name, value in _floats(model).items()}
    checkpoint = _checkpoint(budget)
    if before.pictures:
        _restore(model, average, checkpoint)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = Optimizer(model)
    model.train()
    start = saved = time.monotonic()
    step, smooth = 0, math.nan
    total = budget.minutes * 60
    with _Progress(title) as show:
        while (elapsed := time.monotonic() - start) < total:
            loss = loss_of(before.steps + step)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step(budget.learning_rate * _rate(step, elapsed / total, budget))
            optimizer.zero_grad()
            step += 1
            seen = before.steps + step
            _average(average, model, min(budget.ema, (1 + seen) / (10 + seen)))
            if step % 10 == 0 or step == 1:
                value = float(loss.detach())
                smooth = value if math.isnan(smooth) else 0.95 * smooth + 0.05 * value
                show(elapsed / total, step, smooth, step * budget.batch / max(elapsed, 1e-9))
            if time.monotonic() - saved > budget.checkpoint_seconds:
                done = _add(before, step, budget, time.monotonic() - start, smooth)
                _save(model, average, checkpoint, done)
                saved = time.monotonic()
    done = _add(before, step, budget, time.monotonic() - start, smooth)
    _save(model, average, checkpoint, done)
    model.load_state_dict({**model.state_dict(), **average})
    model.eval()
    return done


def _checkpoint(budget: Budget) -> Path:
    return budget.folder / "checkpoint.safetensors"


def _rate(step: int, part: float, budget: Budget) -> float:
    warm = min(1.0, (step + 1) / budget.warmup_steps)
    left = (1.0 - part) / budget.decay if budget.decay > 0 else 1.0
    return warm * min(1.0, max(left, 0.01))


def _floats(model: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if v.is_floating_point()}


@torch.no_grad()
def _average(average: dict[str, Tensor], model: nn.Module, keep: float) -> None:
    now = _floats(model)
    torch._foreach_lerp_(list(average.values()), [now[name] for name in average], 1 - keep)


def _add(before: Trained, steps: int, budget: Budget, seconds: float, loss: float) -> Trained:
    pictures = before.pictures + steps * budget.batch
    return Trained(before.steps + steps, pictures, before.seconds + seconds, loss)


def _save(model: nn.Module, average: dict[str, Tensor], file: Path, done: Trained) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Copies, since a safetensors file takes no tied weights.
    tensors = {f"model.{k}": _copy(v) for k, v in model.state_dict().items()}
    tensors |= {f"ema.{k}": _copy(v) for k, v in average.items()}
    part = file.with_suffix(".part")
    save_file(tensors, part, metadata={"trained": json.dumps(vars(done))})
    part.replace(file)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _restore(model: nn.Module, average: dict[str, Tensor], file: Path) -> None:
    tensors = load_file(file)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for name in average:
        average[name].copy_(tensors[f"ema.{name}"])


class _Progress:
    """A bar on a terminal; on a pipe a plain line every half minute. Both on stderr."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.terminal = sys.stderr.isatty()
        self.last = -math.inf

    def __enter__(self) -> Callable[[float, int, float, float], None]:
        if self.terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=1.0)
        return self.show

    def show(self, part: float, step: int, loss: float, speed: float) -> None:
        text = f"{self.title}  step {step}  loss {loss:.4f}  {speed:.1f} pictures/s"
        if self.terminal:
            self.bar.update(self.task, completed=part, description=text)
        elif time.monotonic() - self.last > 30:
            self.last = time.monotonic()
            print(f"{text}  {100 * part:.0f} %", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.terminal:
            self.bar.stop()
