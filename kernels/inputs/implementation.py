"""Which implementation runs: the one asked for, or the fast one of the device."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

__all__ = ["choose", "module"]

_IMPLS = ("auto", "reference", "tiled", "triton")


def choose(impl: str, q: Tensor) -> str:
    """reference, tiled or triton. A named one never falls back to another; else ValueError."""
    if impl not in _IMPLS:
        raise ValueError(f"impl: came {impl!r}, expected one of {', '.join(_IMPLS)}")
    if impl == "auto":
        return "triton" if q.is_cuda and q.shape[-1] <= _widest(q.dtype) else "tiled"
    if impl == "triton":
        if q.dtype == torch.float64:
            raise ValueError("q: came float64, expected at most float32 for impl='triton'")
        if q.shape[-1] > _widest(q.dtype):
            raise ValueError(
                f"q: came {q.dtype} with {q.shape[-1]} channels, expected at most "
                f"{_widest(q.dtype)} of them for impl='triton'; impl='tiled' takes more"
            )
        if not q.is_cuda and not (q.device.type == "cpu" and _interprets()):
            raise ValueError(
                f"impl: came 'triton' for tensors on {q.device.type}, expected a CUDA device "
                "or Triton's interpreter; impl='tiled' runs anywhere"
            )
    return impl


def module(package: str, impl: str) -> Any:
    """The module `impl` of a kernel's package; triton is imported only when it is to run."""
    return import_module(f"{package}.{impl}")


def _widest(dtype: torch.dtype) -> int:
    """Channels of a head that the Triton kernels hold without spilling, as `make ptx` checks."""
    return {torch.float64: 0, torch.float32: 128}.get(dtype, 256)


def _interprets() -> bool:
    try:
        return bool(import_module(f"{__package__}.triton").interprets())
    except ModuleNotFoundError as error:
        raise ValueError(
            "impl: came 'triton', expected the package triton to be installed"
        ) from error
