"""Where a run takes place and in what numbers, and whether this machine can do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = [
    "DEVICES",
    "DTYPES",
    "OutOfMemoryError",
    "UnavailableError",
    "choose_device",
    "choose_dtype",
]

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")


class UnavailableError(RuntimeError):
    """What was asked for is sound, but this machine cannot do it."""


class OutOfMemoryError(UnavailableError):
    """A run would need more memory than is free; a smaller one may do."""


def choose_device(name: str) -> str:
    """ "auto" becomes CUDA when there is one; "cuda:1" names the second."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in DEVICES:
        raise ValueError(f"device: {name!r} came; expected one of {', '.join(DEVICES)}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UnavailableError(f"device: {name!r} came, but this machine has no CUDA device")
    return name


def choose_dtype(name: str) -> torch.dtype | None:
    """None = `load` chooses: bfloat16 on CUDA, float32 on the CPU."""
    import torch

    if name not in DTYPES:
        raise ValueError(f"dtype: {name!r} came; expected one of {', '.join(DTYPES)}")
    return None if name == "auto" else getattr(torch, name)
