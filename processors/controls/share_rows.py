"""Rows of the picture shared among processes: each has a band of them, with local windows.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112), section 3.4: an image token needs keys within the
radius only, so a process needs those of `radius − 1` rows beyond its band, and sends its own.

Differs: the authors average what text queries read from each band. Here every band g gives its
log-sum-exp as well, and the sum is the attention over all keys exactly:

    O = sum_g exp(LSE_g − LSE) O_g        LSE = log sum_g exp(LSE_g)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, isqrt
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...kernels.disc import disc_attention
from ...kernels.maps import attention_lse
from ...kernels.merge import merge
from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from .local_window import LocalWindow

__all__ = ["Bands", "ShareRows"]


@dataclass
class Bands:
    """Which process has which rows [start, stop) of a picture; `height` is that of the call."""

    group: Any = None
    height: int = 0

    @property
    def rank(self) -> int:
        """Of this process."""
        return dist.get_rank(self.group)

    @property
    def count(self) -> int:
        """Of processes."""
        return dist.get_world_size(self.group)

    def of(self, rank: int) -> tuple[int, int]:
        """Rows of a process, as even as can be; ValueError when there are not enough."""
        if self.height < self.count:
            raise ValueError(
                f"size: a picture of {self.height} rows of tokens came for {self.count} processes; "
                "expected a row for each at least"
            )
        return self.height * rank // self.count, self.height * (rank + 1) // self.count

    def near(self, rank: int, reach: int) -> tuple[int, int]:
        """Those rows and `reach` more on either side, within the picture."""
        start, stop = self.of(rank)
        return max(0, start - reach), min(self.height, stop + reach)

    def with_halo(self, x: Tensor, reach: int) -> Tensor:
        """[..., near, w, D] of own rows x [..., rows, w, D], the rest from other processes.

        Every process must call it with the same `reach`.
        """
        me, (start, stop) = self.rank, self.of(self.rank)
        low, high = self.near(me, reach)
        whole = x.new_empty(*x.shape[:-3], high - low, *x.shape[-2:])
        whole[..., start - low : stop - low, :, :] = x
        transfers, came = [], []
        for other in range(self.count):
            if other == me:
                continue
            peer = other if self.group is None else dist.get_global_rank(self.group, other)
            theirs, wanted = self.of(other), self.near(other, reach)
            given = max(start, wanted[0]), min(stop, wanted[1])
            if given[0] < given[1]:
                part = x[..., given[0] - start : given[1] - start, :, :].contiguous()
                transfers.append(dist.P2POp(dist.isend, part, peer, self.group))
            taken = max(low, theirs[0]), min(high, theirs[1])
            if taken[0] < taken[1]:
                part = x.new_empty(*x.shape[:-3], taken[1] - taken[0], *x.shape[-2:])
                transfers.append(dist.P2POp(dist.irecv, part, peer, self.group))
                came.append((taken, part))
        if transfers:
            for request in dist.batch_isend_irecv(transfers):
                request.wait()
        for taken, part in came:
            whole[..., taken[0] - low : taken[1] - low, :, :] = part
        return whole

    def gathered(self, x: Tensor) -> list[Tensor]:
        """Of each process its tensor of this shape."""
        parts = [torch.empty_like(x) for _ in range(self.count)]
        dist.all_gather(parts, x.contiguous(), group=self.group)
        return parts


@dataclass(frozen=True, eq=False)
class ShareRows(Control):
    """The attention of a band of rows; `pipelines.shared_rows` cuts the denoiser's tokens.

    window: where and when it acts it is the window of all bands, elsewhere each sees everything,
            for which all keys are exchanged.
    """

    window: LocalWindow = field(default_factory=LocalWindow)
    bands: Bands = field(default_factory=Bands)
    rows: Rows = field(default=Rows.ALL, kw_only=True)

    @property
    def theta_factor(self) -> float:
        """That of the window."""
        return self.window.theta_factor

    def bind(self, prompts: Prompts) -> ShareRows:
        if self.window.pooled is not None:
            raise ValueError(
                f"pooled: came {self.window.pooled} for a picture that processes share; expected "
                "None, since pooled keys are of the whole picture"
            )
        return self

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        return True

    def attend(self, call: Call) -> Tensor:
        image, text, grid = call.keys.image, call.keys.text, call.queries.grid
        own = call.site.kind is Kind.JOINT and call.keys == call.queries
        if not own or call.bias is not None or image is None or text is None or grid is None:
            raise ValueError(
                f"controls: share_rows came to {call.site.name}, which has masks, references or no "
                "text; expected text and one picture"
            )
        width = grid[1]
        tokens = self.bands.height * width + call.texts
        scale = call.scale
        if self.window.acts(call.site, call.step):
            found = self.window.factor(call.site, call.texts, tokens, call.v.shape[-1])
            scale = scale if found is None else found
        q, k, v = call.q, call.k, call.v
        out = torch.empty_like(q)
        out[:, :, image] = self._image(call, q, k, v, scale, width)
        keys = [x if self.bands.rank == 0 else x[:, :, image] for x in (k, v)]
        part, level = attention_lse(q[:, :, text], *keys, scale=scale)
        out[:, :, text], _ = merge(self.bands.gathered(part), self.bands.gathered(level))
        return out

    def _image(
        self, call: Call, q: Tensor, k: Tensor, v: Tensor, scale: float | None, width: int
    ) -> Tensor:
        """[B, H, rows · w, D] of the band's own tokens."""
        image, text = call.keys.image, call.keys.text
        assert image is not None and text is not None
        whole = float(self.bands.height + width)  # no two tokens are so far apart
        acts = self.window.acts(call.site, call.step)
        sees = min(self.window.reach(call.step), whole) if acts else whole
        reach = isqrt(ceil(sees * sees) - 1)
        both = torch.stack([k[:, :, image], v[:, :, image]]).unflatten(3, (-1, width))
        near = self.bands.with_halo(both, reach).flatten(3, 4)
        start, stop = self.bands.of(self.bands.rank)
        low, high = self.bands.near(self.bands.rank, reach)
        mine = slice((start - low) * width, (stop - low) * width)
        asked = q.new_zeros(near.shape[1:])  # queries of the halo belong to others
        asked[:, :, mine] = q[:, :, image]
        # text keys stand where pooled ones would: every image query sees them
        keys, values = (torch.cat([x, y[:, :, text]], 2) for x, y in zip(near, (k, v), strict=True))
        found = disc_attention(
            *(asked, keys, values),
            grids=[(0, high - low, width)],
            text=(0, 0),
            radius=sees,
            scale=scale,
            pooled=((high - low) * width, call.texts) if call.texts else None,
        )
        return found[:, :, mine]
