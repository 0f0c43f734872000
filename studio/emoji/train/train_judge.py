"""Training of the judge: which noun and colour is where, what place and style, what is broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from ..judge_net import WEIGHTS_FILE, JudgeNet, Logits
from .broken import IGNORE
from .judge_data import BROKEN, Batch, Pool, crop, draw_rows
from .loop import Budget, Trained, fit, trained_so_far
from .precision import autocast

__all__ = ["judge_loss", "save_judge", "train_judge"]

_THING_WEIGHT = 3.0  # while nouns are learned
_EDGE = 2.0
_COARSE = 0.5
_CROPS = 0.3  # of the time
_REPAINTED = 0.5  # of a batch, when there are any


def train_judge(
    budget: Budget,
    vae: AutoencoderKL | None = None,
    *,
    pool: int = 1536,
    start: JudgeNet | None = None,
    repainted: Batch | None = None,
) -> tuple[JudgeNet, Trained]:
    """Train on endless scenes of all nouns, the held-out ones too.

    ours: first on crops around whole things, where a step costs a quarter and nouns are learned
    soonest, then on whole pictures, in some of which a thing is broken.
    vae:       frozen; part of the pictures go through it, so that the judge knows what a latent
               diffusion model makes of an edge. None leaves that out.
    pool:      labelled scenes kept in memory; each is learned from about three times, distorted
               anew.
    start:     a finished judge to go on from; there are no crops then, and the rate is a quarter.
    repainted: pictures of `repainted.repainted`; half of each batch of whole pictures are theirs.
    """
    torch.manual_seed(budget.seed)
    net = JudgeNet().to(budget.device)
    if start is not None:
        net.load_state_dict(start.state_dict())
    if vae is not None:
        vae.to(budget.device).eval().requires_grad_(False)
    before = trained_so_far(budget).steps
    # A resumed run must not see the first scenes again.
    crops_first = before == 0 and start is None
    source = Pool(vae, (budget.seed, before), pool, broken=0.0 if crops_first else BROKEN)
    rng = np.random.default_rng((budget.seed, before, 1))

    def loss_of(batch: Batch, thing_weight: float) -> Tensor:
        batch = batch.to(budget.device)
        with autocast(budget.device):
            logits = net(batch.images.contiguous(memory_format=torch.channels_last))
        return judge_loss(logits, batch, thing_weight=thing_weight)

    def on_crops(step: int) -> Tensor:
        return loss_of(crop(source.batch(budget.batch), rng), _THING_WEIGHT)

    def on_pictures(step: int) -> Tensor:
        if repainted is None:
            return loss_of(source.batch(budget.batch), 1.0)
        theirs = draw_rows(repainted, round(_REPAINTED * budget.batch), rng)
        ours = source.batch(budget.batch - len(theirs.images))
        return loss_of(Batch.joined([ours, theirs]), 1.0)

    minutes = budget.minutes
    if crops_first:
        crops = replace(budget, minutes=_CROPS * minutes, resume=False)
        fit(net, on_crops, crops, title="judge, crops")
        minutes -= crops.minutes
    source.broken = BROKEN
    rate = budget.learning_rate / (2 if start is None else 4)
    resume = crops_first or budget.resume  # of the crops, or of an earlier run
    whole = replace(budget, minutes=minutes, resume=resume, learning_rate=rate, decay=0.7)
    done = fit(net, on_pictures, whole, title="judge, pictures")
    return net.to("cpu").requires_grad_(False), done


def save_judge(net: JudgeNet, folder: Path) -> Path:
    """Write the weights in half precision, for `JudgeNet.load`; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / WEIGHTS_FILE
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, file)
    return file


def judge_loss(logits: Logits, batch: Batch, *, thing_weight: float = 1.0) -> Tensor:
    """Cross entropies of nouns, tints, place and style.

    ours: each cell of 2 x 2 pixels learns from all four, so that its probabilities say how much of
    it a thing covers, and each pixel alone whether it is a thing; edges count three times, on both
    sides. Half way through the decoder cells of 8 x 8 learn the nouns, which teaches them much
    sooner.

    thing_weight: of a thing's pixel against one of the place; above 1 it speeds up learning nouns
                  and makes things too large.
    """
    weight = _weights(batch.classes, thing_weight)
    loss = _noun_loss(logits.nouns, batch.classes, weight)
    loss = loss + _thing_loss(logits.things, batch.classes, weight)
    part = (..., slice(1, None, 4), slice(1, None, 4))
    loss = loss + _COARSE * _noun_loss(logits.coarse, batch.classes[part], weight[part])
    tints = batch.tints[:, ::2, ::2].long()
    if bool((tints != IGNORE).any()):
        loss = loss + 0.5 * F.cross_entropy(logits.tints.float(), tints, ignore_index=IGNORE)
    loss = loss + 0.2 * F.cross_entropy(logits.places.float(), batch.places)
    return loss + 0.2 * F.cross_entropy(logits.styles.float(), batch.styles)


def _weights(classes: Tensor, thing_weight: float) -> Tensor:
    """What each pixel of `[B, H, W]` counts."""
    things = ((classes > 0) & (classes != IGNORE)).float()[:, None]
    edges = F.max_pool2d(things, 5, 1, 2) + F.max_pool2d(-things, 5, 1, 2)
    weights = (1 + (thing_weight - 1) * things + _EDGE * edges)[:, 0]
    return weights * (classes != IGNORE)


def _noun_loss(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """`logits [B, C, h, w]` against the 2 x 2 pixels in each cell of `classes [B, 2h, 2w]`."""
    pixels, weight = (F.pixel_unshuffle(m[:, None].float(), 2) for m in (classes, weights))
    wanted = torch.where(weight > 0, pixels, 0).long()
    picked = F.log_softmax(logits.float(), 1).gather(1, wanted)
    return -(picked * weight).sum() / weight.sum().clamp_min(1)


def _thing_loss(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Thing or place, whole or broken: `logits` and `classes` are `[B, H, W]`."""
    wanted = (classes > 0).float()
    loss = F.binary_cross_entropy_with_logits(logits.float(), wanted, weights, reduction="sum")
    return loss / weights.sum().clamp_min(1)
