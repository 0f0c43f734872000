"""Partial attentions into one, by their log-sum-exp."""

from .api import merge

__all__ = ["merge"]
