"""Remembers what the text encoders made of prompts, for batches that repeat them.

A hundred seeds of one edit encode the same two prompts a hundred times. The key is the whole
question, prompts and options, so an answer is the one that would be computed, bit for bit.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["Embeddings"]

_BYTES = 256 * 2**20
_PLAIN = (str, int, float, bool, type(None), torch.device, torch.dtype)


class Embeddings:
    """Answers of one pipeline's `encode_prompt`, the newest of them, up to `most_bytes`."""

    def __init__(self, most_bytes: int = _BYTES) -> None:
        self.hits = self.misses = 0
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._of: int | None = None

    @contextmanager
    def kept(self, pipe: Any) -> Iterator[None]:
        """Within the block the pipeline asks here first. Another pipeline starts afresh."""
        original = getattr(pipe, "encode_prompt", None)
        if original is None:
            yield
            return
        if self._of != id(pipe):
            self._of, self._bytes = id(pipe), 0
            self._kept.clear()
        signature = inspect.signature(original)

        @functools.wraps(original)
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            key = _key(bound.arguments)
            if key is None:
                return original(*args, **kwargs)
            if key in self._kept:
                self.hits += 1
                self._kept.move_to_end(key)
                return self._kept[key]
            self.misses += 1
            found = original(*args, **kwargs)
            self._keep(key, found)
            return found

        pipe.encode_prompt = encode_prompt
        try:
            yield
        finally:
            del pipe.encode_prompt

    def _keep(self, key: tuple[Any, ...], found: Any) -> None:
        self._kept[key] = found
        self._bytes += _size(found)
        while self._bytes > self._most:
            _, old = self._kept.popitem(last=False)
            self._bytes -= _size(old)


def _key(arguments: dict[str, Any]) -> tuple[Any, ...] | None:
    """None for questions that hold more than texts and options."""
    found = []
    for name, value in arguments.items():
        if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
            value = tuple(value)
        elif not isinstance(value, _PLAIN):
            return None
        found.append((name, value))
    return tuple(found)


def _size(found: Any) -> int:
    if isinstance(found, torch.Tensor):
        return found.numel() * found.element_size()
    return sum(map(_size, found)) if isinstance(found, list | tuple) else 0
