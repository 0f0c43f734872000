"""A short name for a pipeline's weights, so that what they drew is not taken for another's."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

__all__ = ["weights_digest"]

_SAMPLED = 256  # values of each parameter


def weights_digest(pipe: Any) -> str:
    """Of some values of every parameter, and their dtype: another precision is another name."""
    digest = sha256()
    for name, module in sorted(pipe.components.items()):
        for key, value in getattr(module, "state_dict", dict)().items():
            some = value.detach().flatten()[:_SAMPLED].float().cpu().numpy()
            said = f"{name}.{key} {tuple(value.shape)} {value.dtype}"
            digest.update(said.encode() + some.tobytes())
    return digest.hexdigest()[:16]
