"""Which of several processes this one is, as `torchrun` and `accelerate launch` tell it.

    torchrun --nproc-per-node 8 -m attention_studio batch M.jsonl --out DIR --engine accelerate

The processes of a machine share one journal and take calls from it as they can, each on a device
of its own, so none waits for a slow one. Machines are shards. Seeds are the rows' own, so it does
not matter which process draws what, and the processes need not talk to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Rank", "read_rank"]


@dataclass(frozen=True)
class Rank:
    """local: number of the process on its machine.    shard: its machine's."""

    local: int
    shard: tuple[int, int]

    @property
    def speaks(self) -> bool:
        """One process a machine says how far they are, and what came of it."""
        return self.local == 0


def read_rank(environment: Mapping[str, str]) -> Rank:
    """ValueError where no launcher started this process."""
    try:
        local, rank, world, here = (
            int(environment[name])
            for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        )
    except (KeyError, ValueError):
        raise ValueError(
            "engine: accelerate came, but no launcher started this process; expected torchrun or "
            "accelerate launch around the command"
        ) from None
    if world % here or not 0 <= local < here:
        raise ValueError(
            f"engine: {here} of {world} processes are on this machine; expected as many on each"
        )
    return Rank(local, (rank // here, world // here))
