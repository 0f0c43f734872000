"""What the attention functions accept and return: checks, and which implementation runs."""

from .bias import expanded
from .grads import empty_gradients, empty_outputs, incoming
from .implementation import choose, module
from .operator import register
from .tensors import check, scale_of

__all__ = [
    "check",
    "choose",
    "empty_gradients",
    "empty_outputs",
    "expanded",
    "incoming",
    "module",
    "register",
    "scale_of",
]
