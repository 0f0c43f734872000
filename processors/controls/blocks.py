"""Where in a transformer a control acts: a part of its blocks, in the order they run."""

from __future__ import annotations

from ..call import Site, Stage
from ..interval import Interval

__all__ = ["LAYOUT", "MAPS", "WORDS", "decoding", "within"]

WORDS = Interval()
"""ours: blocks in which text columns are edited unless a control says otherwise."""
LAYOUT = Interval()
"""ours: blocks in which the layout is kept."""
MAPS = Interval()
"""ours: blocks whose word maps are read."""


def within(site: Site, blocks: Interval) -> bool:
    """Whether the site's block is in that part; UNets have stages and sides instead, so always."""
    return site.depth is None or blocks.start <= site.depth < blocks.end


def decoding(site: Site, blocks: Interval) -> bool:
    """Whether the site is in that part or, in a UNet, in its decoder."""
    return site.stage is Stage.UP if site.depth is None else within(site, blocks)
