"""Which token of one picture is which of another, by what a UNet's decoder makes of both.

    with attach(pipe, controls), recorded_features(pipe) as seen:
        pipe(prompts, generator=...)
    matches = correspondences(seen.of(len(prompts)), places, grid=(64, 64))
    with attach(pipe, [*controls, InjectFeatures(matches)]):
        pipe(prompts, generator=...)

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286), section 3.3, after DIFT, Tang et al. 2023
(arXiv:2306.03881): features are a decoder block's output near timestep 261, blurred (3 x 3, σ = 1).
With d(p) the cosine distance of token p to the nearest of others' subjects, p has a like where

    p is within its own picture's subject and d(p) < Otsu(d)

Differs: the timestep is the nearest that the schedule has (the released code needs 50 steps to have
it); where all distances are the same every token has a like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..processors.call import Grid
from ..processors.controls import Match
from ..processors.controls.regions import Region
from ..processors.controls.subjects import held
from ..processors.otsu import otsu

__all__ = ["Features", "correspondences", "match_features", "recorded_features"]

_ROWS = 1024  # of distances at a time: at 64 x 64 tokens 16 MiB in fp32 for each other picture


@dataclass(eq=False)
class Features:
    """What a decoder block gave in the call nearest to timestep `at`; of the last run, all rows."""

    at: float
    t: float | None = None
    rows: Tensor | None = None

    def of(self, count: int) -> Tensor:
        """[count, C, h, w] fp32 on the CPU: the last rows, as guidance puts the conditional ones.

        ValueError where no such run was seen.
        """
        if self.rows is None or len(self.rows) < count:
            came = 0 if self.rows is None else len(self.rows)
            raise ValueError(f"count: came {count} for {came} recorded rows; expected no more")
        return self.rows[-count:].float().cpu()


@contextmanager
def recorded_features(
    pipe: Any, *, at: float = 261, block: int | None = None
) -> Iterator[Features]:
    """Looks on while the UNet is called; nothing of it is left afterwards.

    block: of the decoder; None = the third from the end: SDXL's first, SD 1.x's second as in DIFT.
    ValueError for a model that is no UNet.
    """
    unet = getattr(pipe, "unet", None)
    if unet is None:
        raise ValueError(f"pipe: came {type(pipe).__name__}; expected one whose denoiser is a UNet")
    blocks = unet.up_blocks
    number = max(0, len(blocks) - 3) if block is None else block
    if not 0 <= number < len(blocks):
        raise ValueError(f"block: came {block}; the decoder has 0 to {len(blocks) - 1}")
    seen, now = Features(at), [0.0]

    def called(_: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        t = kwargs["timestep"] if "timestep" in kwargs else args[1]
        now[0] = float(t.flatten()[0]) if isinstance(t, Tensor) else float(t)

    def gave(_: Any, __: Any, out: Tensor) -> None:
        if seen.t is None or abs(now[0] - at) <= abs(seen.t - at):
            seen.t, seen.rows = now[0], out.detach()

    hooks = [
        unet.register_forward_pre_hook(called, with_kwargs=True),
        blocks[number].register_forward_hook(gave),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def correspondences(
    features: Tensor,
    places: Sequence[Region],
    *,
    grid: Grid,
    anchors: Sequence[int] = (0, 1),
) -> tuple[Match, ...]:
    """Of pictures of one subject, each to the anchors other than itself.

    features: [P, C, h, w], of each prompt's picture.    places: the subject's in each.
    grid:     of the attention into which features are injected.
    """
    if len(places) != len(features):
        raise ValueError(
            f"places: came {len(places)}; expected one for each of {len(features)} pictures"
        )
    wrong = [anchor for anchor in anchors if not 0 <= anchor < len(features)]
    if wrong:
        raise ValueError(f"anchors: came {wrong[0]}; there are pictures 0 to {len(features) - 1}")
    masks = [held(place, grid, f"picture {i}") for i, place in enumerate(places)]
    return tuple(
        match_features(features, i, mask, {j: masks[j] for j in anchors if j != i})
        for i, mask in enumerate(masks)
    )


def match_features(
    features: Tensor, picture: int, within: Tensor, sources: Mapping[int, Tensor]
) -> Match:
    """For tokens of one picture the nearest ones of others.

    features: [P, C, h', w'], brought to the grid where it is another.
    within:   [h, w] bool, the tokens that may have a like.
    sources:  by picture, [h, w] bool: the tokens that may be one.
    """
    grid = within.shape
    used = {j: mask.flatten().nonzero()[:, 0] for j, mask in sources.items() if bool(mask.any())}
    source = torch.full((within.numel(),), -1)
    token = torch.zeros(within.numel(), dtype=torch.int64)
    if used and bool(within.any()):
        own = _unit(features[picture], grid)
        others = {j: _unit(features[j], grid)[tokens] for j, tokens in used.items()}
        best = torch.full((len(own),), torch.inf)
        for first in range(0, len(own), _ROWS):
            rows = slice(first, first + _ROWS)
            for j, other in others.items():
                distance, at = (1 - own[rows] @ other.T).min(1)
                nearer = distance < best[rows]
                best[rows] = torch.where(nearer, distance, best[rows])
                source[rows] = torch.where(nearer, j, source[rows])
                token[rows] = torch.where(nearer, used[j][at], token[rows])
        near = best < otsu(best) if bool(best.min() < best.max()) else torch.ones_like(best).bool()
        source[~(near & within.flatten())] = -1
    return Match(picture, source.reshape(grid), token.reshape(grid))


def _unit(features: Tensor, grid: torch.Size) -> Tensor:
    """[N, C] of length 1, from [C, h', w']."""
    x = features[None].float()
    if x.shape[2:] != grid:
        x = F.interpolate(x, tuple(grid), mode="bilinear", align_corners=False)
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / 2)
    blur = (line[:, None] * line / line.sum() ** 2).expand(x.shape[1], 1, 3, 3)
    x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), blur, groups=x.shape[1])
    return F.normalize(x[0].flatten(1).T, dim=1)
