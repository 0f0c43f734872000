"""What GPU kernels compile to, checked on a machine without a GPU."""

from .specialization import OPTIONS, Specialization

__all__ = ["OPTIONS", "Specialization"]
