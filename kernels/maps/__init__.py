"""Word maps without attention maps: columns from the log-sum-exp of a fused call."""

from .api import word_maps
from .fused import attention_lse, fuses_lse, lse

__all__ = ["attention_lse", "fuses_lse", "lse", "word_maps"]
