"""A network whose passes are replayed as CUDA graphs.

A small model on a fast GPU waits for the CPU, which launches its kernels one by one: `emoji-flux`
has some two thousand a step. Recorded once for one shape, forward and backward are a launch each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["graphed", "sound_attention"]

_SOUND = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def graphed(network: nn.Module, inputs: Sequence[Tensor]) -> Callable[..., Tensor]:
    """`network` for inputs of these shapes, kinds and gradients; whatever they hold is lost.

    What is compiled in it is compiled here. No other thread may use the GPU meanwhile. An autocast
    within `network` must not cache, since the casts are part of the graph.
    """
    for _ in range(2):  # compiles, chooses algorithms, fills caches that a graph cannot fill
        network(*inputs).float().square().mean().backward()
        for parameter in network.parameters():
            parameter.grad = None
    torch.cuda.synchronize()
    graph = torch.cuda.make_graphed_callables(network, tuple(inputs))
    return cast("Callable[..., Tensor]", graph)


def sound_attention() -> AbstractContextManager[None]:
    """Without cuDNN's, whose backward for heads of 32 channels wrote where it must not (H100)."""
    return cast("AbstractContextManager[None]", sdpa_kernel(_SOUND))
