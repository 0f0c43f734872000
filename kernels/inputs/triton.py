"""Whether Triton's kernels run in its interpreter here."""

from __future__ import annotations

import triton

__all__ = ["interprets"]


@triton.jit
def _probe() -> None:
    pass


def interprets() -> bool:
    """Decided when this module was imported, as for every kernel: by TRITON_INTERPRET=1."""
    return not isinstance(_probe, triton.JITFunction)
