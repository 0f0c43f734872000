"""Watches the autoencoder: what it decodes must be numbers.

In half precision some autoencoders overflow; the picture would come out black and look like a
success. One more try is made in fp32; when that is no better, the call fails.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..device import UnavailableError

__all__ = ["sound_decoding"]


@contextmanager
def sound_decoding(pipe: Any) -> Iterator[list[str]]:
    """Within the block nothing but numbers is decoded; yields what was done about it."""
    vae, said = getattr(pipe, "vae", None), list[str]()
    if vae is None:
        yield said
        return
    original = vae.decode

    @functools.wraps(original)
    def decode(z: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(z, *args, **kwargs)
        if _finite(found):
            return found
        if bool(torch.isfinite(z).all()) and vae.dtype != torch.float32:
            dtype = vae.dtype
            try:
                vae.to(torch.float32)
                found = original(z.float(), *args, **kwargs)
            finally:
                vae.to(dtype)
            if _finite(found):
                said.append(f"decoded in float32, since {str(dtype)[6:]} overflowed")
                return found
        raise UnavailableError("the decoded picture holds no numbers; choose dtype float32")

    vae.decode = decode
    try:
        yield said
    finally:
        del vae.decode


def _finite(found: Any) -> bool:
    sample = found[0] if isinstance(found, tuple) else found.sample
    return bool(torch.isfinite(sample).all())
