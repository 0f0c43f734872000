"""Gradients of block-sparse attention."""

__all__: list[str] = []
