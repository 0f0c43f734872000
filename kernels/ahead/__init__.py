"""What GPU kernels compile to, checked on a machine without a GPU."""

from .specialization import Specialization

__all__ = ["Specialization"]
