"""Joint attention in which every image token sees the text and a disc of the image."""

from .layout import DiscLayout

__all__ = ["DiscLayout"]
