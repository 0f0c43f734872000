"""Joint attention in which every image token sees the text and a disc of the image."""

from .api import disc_attention
from .layout import DiscLayout

__all__ = ["DiscLayout", "disc_attention"]
