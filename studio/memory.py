"""Roughly how much memory a run needs beside the weights, and how much there is."""

from __future__ import annotations

from pathlib import Path

from .finer_spec import finer_sizes
from .models import Model
from .recipe import Recipe

__all__ = ["estimate_bytes", "free_bytes"]

# ours: widest feature maps alive at once. With emoji-sd on a CPU, at 256 to 768 pixels, runs took
# 0.42 to 0.62 of the estimate; on CUDA and with larger models it has not been measured.
_DENOISER_TENSORS = 40
_DECODER_TENSORS = 10


def estimate_bytes(recipe: Recipe, model: Model, device: str) -> int:
    """The larger of the denoiser's and the decoder's need, both of which hold all rows of a call.

        denoiser = 2 P · (h/f)(w/f) · c_denoiser · 40 · bytes
        decoder  = P · h w · c · 10 · bytes

    P: pictures of a call, f: factor of the autoencoder, c: channels of its widest level at full
    size. ours: an estimate on the safe side for fused attention, which forms no maps.
    """
    assert model.image_size is not None or recipe.size is not None
    size = recipe.size or (model.image_size or 512,) * 2
    height, width = [size, *finer_sizes(size, recipe.finer)][-1]
    pictures = len(recipe.prompts) if recipe.is_edit else 1
    bytes_each = 2 if device.startswith("cuda") else 4
    rows = pictures * (2 if recipe.guidance > 1 else 1)
    latents = (height // model.vae_factor) * (width // model.vae_factor)
    denoiser = rows * latents * model.channels * _DENOISER_TENSORS
    decoder = pictures * height * width * model.vae_channels * _DECODER_TENSORS
    return max(denoiser, decoder) * bytes_each


def free_bytes(device: str) -> int | None:
    """What a run may use on the device now; None where that cannot be known."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    found = [value for value in (_machine(), _container()) if value is not None]
    return min(found, default=None)


def _machine() -> int | None:
    """What the kernel would give without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(ln.split()[1]) * 1024 for ln in lines if ln.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _container() -> int | None:
    """What is left of the limit of a container (cgroup v2)."""
    root = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((root / f"memory.{name}").read_text()) for name in ("max", "current"))
        cached = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(cached.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
