"""Word maps without attention maps: columns from the log-sum-exp of a fused call."""

from .api import attention_lse, columns, fuses_lse, lse

__all__ = ["attention_lse", "columns", "fuses_lse", "lse"]
