"""The judge's network: one pass says for every pixel which noun and which colour it belongs to.

ours: a U-shaped residual network, 128 px pictures in, 1.4 M parameters. Cells of 2 x 2 pixels know
noun and tint. A small head (29 k) looks at the picture's own pixels once more and says of each only
whether it is a thing or the place. A pooled vector answers for the background's place and the
picture's style.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from .objects import CLASSES, PLACES, STYLE_NAMES, TINTS

__all__ = ["SIZE_PX", "WEIGHTS_FILE", "Answers", "JudgeNet", "Logits"]

SIZE_PX = 128
WEIGHTS_FILE = "judge.safetensors"  # half precision
_WIDTHS = (24, 64, 96, 152)  # at 64, 32, 16 and 8 pixels
_DECODER = (24, 48, 96)
_EDGES = 32  # channels of the head


@dataclass(frozen=True, eq=False)
class Logits:
    """What the network says: nouns `[B, 44, 64, 64]`, tints `[B, 9, 64, 64]`, places, styles.

    coarse: nouns `[B, 44, 16, 16]`, half way through the decoder; `nouns` refine them.
    things: `[B, 128, 128]`, the logit of each pixel's being a thing, whole or broken.
    """

    nouns: Tensor
    coarse: Tensor
    things: Tensor
    tints: Tensor
    places: Tensor
    styles: Tensor


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities `[B, 44, 128, 128]` and `[B, 9, 128, 128]`; indices of place and style."""

    nouns: NDArray[np.float32]
    tints: NDArray[np.float32]
    places: list[int]
    styles: list[int]


class JudgeNet(nn.Module):
    """Encoder at 64, 32, 16 and 8 pixels, decoder with skips back to 64, edges at 128."""

    def __init__(self) -> None:
        super().__init__()
        w, d = _WIDTHS, _DECODER
        self.stem = nn.Sequential(nn.Conv2d(3, w[0], 5, 2, 2, bias=False), _norm(w[0]), nn.ReLU())
        self.encoder = nn.ModuleList(
            nn.Sequential(_Block(w[i], w[i + 1], 2), *[_Block(w[i + 1], w[i + 1])] * (i > 0))
            for i in range(3)
        )
        self.deeper = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in ((w[3], d[2]), (d[2], d[1]), (d[1], d[0]))
        )
        self.skips = nn.ModuleList(nn.Conv2d(w[i], d[i], 1) for i in (2, 1, 0))
        self.decoder = nn.ModuleList(_Block(d[i], d[i]) for i in (2, 1, 0))
        self.coarse = nn.Conv2d(d[2], len(CLASSES), 1)
        self.nouns = nn.Conv2d(d[0], len(CLASSES), 1)
        self.tints = nn.Conv2d(d[0], len(TINTS), 1)
        self.edges = _Edges(d[0])
        self.whole = nn.Sequential(
            nn.Linear(w[0] + w[3], 64), nn.ReLU(), nn.Linear(64, len(PLACES) + len(STYLE_NAMES))
        )

    def forward(self, images: Tensor) -> Logits:
        """`images` are `[B, 3, 128, 128]` in [-1, 1]."""
        levels = [self.stem(images)]
        for stage in self.encoder:
            levels.append(stage(levels[-1]))
        pooled = torch.cat([levels[0].mean((2, 3)), levels[3].mean((2, 3))], 1)
        places, styles = self.whole(pooled).split([len(PLACES), len(STYLE_NAMES)], 1)
        x = levels.pop()
        decoded = []
        for deeper, skip, block in zip(self.deeper, self.skips, self.decoder, strict=True):
            x = block(F.interpolate(deeper(x), scale_factor=2.0) + skip(levels.pop()))
            decoded.append(x)
        coarse = self.coarse(decoded[0])
        nouns = self.nouns(x) + F.interpolate(coarse, scale_factor=4.0, mode="bilinear")
        things = self.edges(images, x, nouns)
        return Logits(nouns, coarse, things, self.tints(x), places, styles)

    @torch.inference_mode()
    def answer(self, pictures: NDArray[np.uint8]) -> Answers:
        """What it sees in `[B, 128, 128, 3]`.

        ours: two looks, the second one pixel further down and right, where its cells lie across
        those of the first; the mean of both knows edges better (IoU + 0.003, as much after the
        autoencoder, on 400 scenes kept for such choices).
        """
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        moved = F.pad(images, (1, 0, 1, 0), mode="replicate")[:, :, :SIZE_PX, :SIZE_PX]
        here, there = (self(look.contiguous()) for look in (images, moved))
        nouns, tints = (
            (first + F.pad(second, (0, 1, 0, 1), mode="replicate")[..., 1:, 1:]).div(2).numpy()
            for first, second in (
                (_per_pixel(here), _per_pixel(there)),
                (_smooth(here.tints), _smooth(there.tints)),
            )
        )
        places, styles = here.places + there.places, here.styles + there.styles
        return Answers(nouns, tints, places.argmax(1).tolist(), styles.argmax(1).tolist())

    @classmethod
    def load(cls, folder: Path) -> JudgeNet:
        """The network in a folder, in fp32 on the CPU, ready to judge."""
        file = folder / WEIGHTS_FILE
        if not file.is_file():
            raise ValueError(
                f"folder: {folder} holds no {WEIGHTS_FILE}; "
                "expected the folder that `attention-studio train judge` wrote"
            )
        net = cls()
        net.load_state_dict({k: v.float() for k, v in load_file(file).items()})
        return net.eval().requires_grad_(False)


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, wide_in: int, wide_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(wide_in, wide_out, 3, stride, 1, bias=False),
            _norm(wide_out),
            nn.ReLU(),
            nn.Conv2d(wide_out, wide_out, 3, 1, 1, bias=False),
            _norm(wide_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(wide_in, wide_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


class _Edges(nn.Module):
    """Thing or place, for each pixel: what the cells say, put right by the picture itself."""

    def __init__(self, wide_in: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(wide_in + 3 * 4, _EDGES, 3, 1, 1, bias=False),
            _norm(_EDGES),
            nn.ReLU(),
            _Block(_EDGES, _EDGES),
            nn.Conv2d(_EDGES, 4, 1),
        )

    def forward(self, images: Tensor, decoded: Tensor, nouns: Tensor) -> Tensor:
        """Logits `[B, 2h, 2w]`; a cell of `decoded [B, 24, h, w]` sees its four pixels."""
        cells = nouns[:, 1:].logsumexp(1, keepdim=True) - nouns[:, :1]
        seen = self.body(torch.cat([F.pixel_unshuffle(images, 2), decoded], 1))
        smooth = F.interpolate(cells, scale_factor=2.0, mode="bilinear")
        return (smooth + F.pixel_shuffle(seen, 2))[:, 0]


def _per_pixel(seen: Logits) -> Tensor:
    """Probabilities `[B, 44, 128, 128]`: where things are by pixel, which they are by cell.

    p(noun) = p(thing) p(noun | thing), "reject" being a noun here.
    """
    things = seen.things.sigmoid()[:, None]
    which = _smooth(seen.nouns)[:, 1:]
    which = which / which.sum(1, keepdim=True).clamp_min(1e-12)
    return torch.cat([1 - things, things * which], 1)


def _smooth(logits: Tensor) -> Tensor:
    """Probabilities `[B, C, 128, 128]` of cells `[B, C, 64, 64]`."""
    return F.interpolate(logits.softmax(1), size=(SIZE_PX, SIZE_PX), mode="bilinear")


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)
