"""What the attention functions accept and return: checks, and which implementation runs."""

from .bias import expanded
from .grads import empty_gradients, empty_outputs, incoming
from .implementation import choose, module
from .tensors import check

__all__ = [
    "check",
    "choose",
    "empty_gradients",
    "empty_outputs",
    "expanded",
    "incoming",
    "module",
]
