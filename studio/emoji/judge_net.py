"""The judge's network: one pass says for every pixel which noun and which colour it belongs to.

ours: a U-shaped residual network, 128 px pictures in, maps of 64 x 64 out, 1.4 M parameters. A
pooled vector answers for the background's place and the picture's style.
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


@dataclass(frozen=True, eq=False)
class Logits:
    """What the network says: nouns `[B, 44, 64, 64]`, tints `[B, 9, 64, 64]`, places, styles.

    coarse: nouns `[B, 44, 16, 16]`, half way through the decoder; `nouns` refine them.
    """

    nouns: Tensor
    coarse: Tensor
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
    """Encoder at 64, 32, 16 and 8 pixels, decoder with skips back to 64."""

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
        return Logits(nouns, coarse, self.tints(x), places, styles)

    @torch.inference_mode()
    def answer(self, pictures: NDArray[np.uint8]) -> Answers:
        """What it sees in `[B, 128, 128, 3]`.

        Cells of 2 x 2 pixels have learned how much of them a thing covers, so the probabilities
        are scaled up smoothly and a half means an edge. ours: a second look, one pixel further down
        and right, has its cells where those of the first meet; the mean of both knows edges better
        (IoU + 0.004, after the autoencoder + 0.007, on 200 scenes kept for such choices).
        """
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        moved = F.pad(images, (1, 0, 1, 0), mode="replicate")[:, :, :SIZE_PX, :SIZE_PX]
        here, there = (self(look.contiguous()) for look in (images, moved))
        nouns, tints = (
            (_smooth(first) + F.pad(_smooth(second), (0, 1, 0, 1), mode="replicate")[..., 1:, 1:])
            .div(2)
            .numpy()
            for first, second in ((here.nouns, there.nouns), (here.tints, there.tints))
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


def _smooth(logits: Tensor) -> Tensor:
    """Probabilities `[B, C, 128, 128]` of cells `[B, C, 64, 64]`."""
    return F.interpolate(logits.softmax(1), size=(SIZE_PX, SIZE_PX), mode="bilinear")


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)
