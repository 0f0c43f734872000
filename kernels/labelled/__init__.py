"""Attention among groups of tokens, given as bits."""

from .api import labelled_attention

__all__ = ["labelled_attention"]
