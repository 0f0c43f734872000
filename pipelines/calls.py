"""The arguments by which each family's pipeline takes guidance, its text's length and its size.

FLUX and Qwen-Image call classifier-free guidance `true_cfg_scale` and want a negative prompt for
it; their `guidance_scale`, where a model was distilled with one, is an input of the denoiser. And
FLUX pads T5's tokens to 512 unless told otherwise, while a model knows the length it was trained
with, which its tokenizer states (256 for FLUX.1 schnell, 48 for emoji-flux); its pictures are of
1024 px unless told otherwise, while its autoencoder states the size it was trained at.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

__all__ = ["guidance_arguments", "length_arguments", "size_arguments"]


def guidance_arguments(
    pipe: Any, scale: float, negative: str | None = None, *, count: int | None = None
) -> dict[str, Any]:
    """Keyword arguments for a call of `pipe` with guidance.

    negative: with a model distilled for guidance, only one that is said asks for a second pass.
    count:    of the prompts, where the call has a list of them.
    """
    if "true_cfg_scale" not in _parameters(pipe):
        said = {} if negative is None else {"negative_prompt": _each(negative, count)}
        return {"guidance_scale": scale, **said}
    if negative is None and getattr(pipe.transformer.config, "guidance_embeds", False):
        return {"guidance_scale": scale}
    return {"true_cfg_scale": scale, "negative_prompt": _each(negative or "", count)}


def length_arguments(pipe: Any) -> dict[str, Any]:
    """`max_sequence_length` where `pipe` would pad to more tokens than its tokenizer allows."""
    asked = _parameters(pipe).get("max_sequence_length")
    last = next((n for n in ("tokenizer_3", "tokenizer_2") if hasattr(pipe, n)), None)  # T5's
    tokenizer = getattr(pipe, last) if last else None
    if asked is None or tokenizer is None:
        return {}
    length = tokenizer.model_max_length
    return {"max_sequence_length": length} if length < asked.default else {}


def size_arguments(pipe: Any) -> dict[str, Any]:
    """`height` and `width` of the autoencoder where the denoiser does not say its own."""
    denoiser = getattr(pipe, "transformer", None) or getattr(pipe, "unet", None)
    side = _sample_size(getattr(pipe, "vae", None))
    if side is None or _sample_size(denoiser) is not None:
        return {}
    return {"height": side, "width": side}


def _sample_size(model: Any) -> int | None:
    return getattr(getattr(model, "config", None), "sample_size", None)


def _each(text: str, count: int | None) -> str | list[str]:
    return text if count is None else [text] * count


def _parameters(pipe: Any) -> Any:
    return signature(type(pipe).__call__).parameters
