"""What to do when memory is short: half as many at once, one by one, then slower and smaller.

    half of them -> one by one -> autoencoder in slices and tiles -> model offload -> layer offload

Each call starts at the top again, and leaves the pipeline as it was. Fewer at once and tiles may
shift the rounding, so the steps taken are part of what a row records.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import torch

from ..device import OutOfMemoryError

__all__ = ["climb_down", "is_out_of_memory"]

T = TypeVar("T")
R = TypeVar("R")

_SAID = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller call may succeed."""
    if isinstance(error, OutOfMemoryError | torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _SAID)


def climb_down(
    items: Sequence[T], pipe: Any, draw: Callable[[Sequence[T]], Sequence[R]]
) -> tuple[list[R], tuple[str, ...]]:
    """What `draw` makes of the items, all at once if that can be; and the steps that were taken.

    The error of the last step when none helps, and any other error at once.
    """
    steps: list[str] = []
    ways = iter(_ways(len(items), pipe))
    at_once = len(items)
    with ExitStack() as undo:
        while True:
            try:
                found: list[R] = []
                for start in range(0, len(items), at_once):
                    found += draw(items[start : start + at_once])
                return found, tuple(steps)
            except Exception as error:
                step = next(ways, None) if is_out_of_memory(error) else None
                if step is None:
                    raise
                error.__traceback__ = None  # its frames hold the tensors of the call
            name, at_once, way = step
            _release()
            undo.enter_context(way(pipe))
            steps.append(name)


def _ways(
    count: int, pipe: Any
) -> Iterator[tuple[str, int, Callable[[Any], AbstractContextManager[None]]]]:
    """name, how many at once, what else is done."""
    if count > 2:
        half = (count + 1) // 2
        yield f"{half} at once", half, _nothing
    if count > 1:
        yield "one by one", 1, _nothing
    if hasattr(getattr(pipe, "vae", None), "enable_tiling"):
        yield "autoencoder in slices and tiles", 1, _tiled
    if str(pipe.device).startswith("cuda"):
        yield "model offload", 1, _offloaded("enable_model_cpu_offload")
        yield "layer offload", 1, _offloaded("enable_sequential_cpu_offload")


@contextmanager
def _nothing(_pipe: Any) -> Iterator[None]:
    yield


@contextmanager
def _tiled(pipe: Any) -> Iterator[None]:
    was = pipe.vae.use_slicing, pipe.vae.use_tiling
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    try:
        yield
    finally:
        pipe.vae.use_slicing, pipe.vae.use_tiling = was


def _offloaded(name: str) -> Callable[[Any], AbstractContextManager[None]]:
    @contextmanager
    def way(pipe: Any) -> Iterator[None]:
        device = pipe.device
        getattr(pipe, name)(device=device)
        try:
            yield
        finally:
            pipe.remove_all_hooks()
            pipe.to(device)

    return way


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
