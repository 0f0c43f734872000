"""What steps are made of: pictures, noise and its levels, by the number of the step's batch.

Levels of noise of one batch are spread evenly from a random start, which makes its losses scatter
less (Kingma et al. 2021, arXiv:2107.00630, appendix I.1; ours for this method).
Small numbers are drawn on the CPU, the noise where it is used, so that nothing large is copied and
nobody waits: a run goes on as if undisturbed on a device of the same kind.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .settings import Distillation
from .student import Noised
from .teacher import Batch, Pictures

__all__ = ["Data"]

_LATE = 3  # one batch of so many is of the second half, where windows cost little
_ROOM = 2**30  # bytes of pictures that are kept on the device; more are read for each batch


class Data:
    """Batches of a pipeline's pictures on a device."""

    def __init__(
        self, pipe: Any, pictures: Pictures, settings: Distillation, device: torch.device
    ) -> None:
        scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)  # a run changed pipe's
        self._levels: Tensor = scheduler.sigmas.float().cpu()
        self._pictures, self._settings, self._device = pictures, settings, device
        self._kind: torch.dtype = pipe.transformer.dtype
        fits = pictures.nbytes <= _ROOM
        self._kept = pictures.all(empty=settings.unprompted > 0) if fits else None
        if self._kept is not None:
            self._kept = Batch(*(x.to(device) for x in vars(self._kept).values()))
        height, width = pictures.size
        given = {"device": device, "dtype": self._kind}
        self._constant = {
            "txt_ids": torch.zeros(pictures.texts, 3, **given),
            "img_ids": pipe._prepare_latent_image_ids(
                settings.batch, height // 2, width // 2, device, self._kind
            ),
        }
        if pipe.transformer.config.guidance_embeds:
            self._constant["guidance"] = torch.full((settings.batch,), settings.told, device=device)

    def draw(self, turn: int) -> Noised:
        """The batch number `turn` of all, over steps, accumulation and processes."""
        count, seed = self._settings.batch, self._settings.seed * 1_000_003 + turn
        draw = torch.Generator("cpu").manual_seed(seed)
        chosen = torch.randint(self._pictures.count, (count,), generator=draw)
        unprompted = torch.rand(count, generator=draw) < self._settings.unprompted
        even = (torch.rand(1, generator=draw) + torch.arange(count) / count) % 1
        late = self._settings.late is not None and turn % _LATE == _LATE - 1
        if self._settings.late is not None:  # levels fall: the first half is the noisier one
            even = (even + late) / 2
        levels = (even * len(self._levels)).long().clamp_max(len(self._levels) - 1)
        if self._device.type != "cpu":
            draw = torch.Generator(self._device).manual_seed(seed)
        batch = self._batch(chosen, unprompted)
        sigma, clean = _sent(self._levels[levels], self._device), batch.latents.float()
        noise = torch.randn(clean.shape, generator=draw, device=self._device)
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        return Noised(
            noisy.to(self._kind),
            sigma,
            batch.context.to(self._kind),
            {"pooled_projections": batch.pooled.to(self._kind), **self._constant},
            noise - clean,
            late,
        )

    def _batch(self, chosen: Tensor, unprompted: Tensor) -> Batch:
        kept = self._kept
        if kept is None:
            found = self._pictures.batch(chosen.tolist(), unprompted.tolist())
            return Batch(*(_sent(x, self._device) for x in vars(found).values()))
        told = torch.where(unprompted, self._pictures.count, chosen)
        of_picture, of_text = _sent(torch.stack([chosen, told]), self._device)
        return Batch(kept.latents[of_picture], kept.context[of_text], kept.pooled[of_text])


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """On the device, without waiting for what a GPU has queued."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)
