"""One picture drawn by several processes, each with a band of its rows: FLUX with local windows.

    torchrun --nproc-per-node 2 examples/patches.py --model DIR --prompt "a cat" --side 2048

Every process runs the whole stock loop on latents that are all the same, and the transformer on its
band of image tokens and all text tokens; see `processors.controls.share_rows`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..processors.controls.local_window import LocalWindow
    from ..processors.controls.share_rows import Bands
    from ..processors.run import Run

__all__ = ["shared_rows"]

_OF_CONTROLNET = ("controlnet_block_samples", "controlnet_single_block_samples")


@contextmanager
def shared_rows(pipe: Any, window: LocalWindow, *, group: Any = None) -> Iterator[Run]:
    """Within it the pipeline draws with all processes of a group; its pictures come to all of them.

    Every process calls it alike: same weights, prompts, sizes and noise (a generator on the CPU).
    group: of torch.distributed, gloo on CPUs and nccl on GPUs; None = the default group.

    ValueError where there is no group, for models other than FLUX, for pooled keys, ControlNets and
    reference pictures, and for a picture with fewer rows of tokens than processes.
    """
    import torch.distributed as dist

    from ..processors.attach import attach
    from ..processors.controls.share_rows import Bands, ShareRows
    from ..processors.families import family_of

    family = family_of(pipe)
    if family.name != "flux":
        raise ValueError(
            f"pipe: {type(pipe).__name__} numbers its tokens inside; expected a FLUX pipeline, "
            "whose tokens come with their places"
        )
    if not dist.is_initialized():
        raise ValueError(
            "group: torch.distributed is not initialised; expected init_process_group, and a "
            "launch by torchrun"
        )
    bands, denoiser = Bands(group), pipe.transformer
    signature = inspect.signature(type(denoiser).forward)

    def entering(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bound = signature.bind(module, *args, **kwargs)
        bound.apply_defaults()
        height, width = (side // 2 for side in family.size(bound.arguments))
        _cut(bound.arguments, bands, height, width)
        return bound.args[1:], bound.kwargs

    def left(module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
        return (_whole(out[0], bands), *out[1:])

    with ExitStack() as undo:
        for hook in (  # before those of attach, which then sees the band alone
            denoiser.register_forward_pre_hook(entering, with_kwargs=True),
            denoiser.register_forward_hook(left, with_kwargs=True),
        ):
            undo.callback(hook.remove)
        yield undo.enter_context(attach(pipe, [ShareRows(window, bands)]))


def _cut(asked: dict[str, Any], bands: Bands, height: int, width: int) -> None:
    """Puts this process's rows in the place of the tokens and their ids."""
    tokens, ids = asked["hidden_states"], asked["img_ids"]
    extra = any(asked.get(name) is not None for name in _OF_CONTROLNET)
    if extra or tokens.shape[1] != height * width:
        raise ValueError(
            f"pipe: its transformer got {tokens.shape[1]} tokens"
            f"{' and those of a ControlNet' if extra else ''}; expected the {height} x {width} of "
            "one picture, of which every process takes its rows"
        )
    bands.height = height
    start, stop = bands.of(bands.rank)
    mine = slice(start * width, stop * width)
    asked["hidden_states"] = tokens[:, mine]
    asked["img_ids"] = ids[:, mine] if ids.ndim == 3 else ids[mine]
    asked["return_dict"] = False


def _whole(band: Tensor, bands: Bands) -> Tensor:
    """[B, N, C] from the bands [B, n, C] of all processes, which may differ by a row."""
    import torch

    start, stop = bands.of(bands.rank)
    width = band.shape[1] // (stop - start)
    sizes = [(b - a) * width for a, b in map(bands.of, range(bands.count))]
    padded = band.new_zeros(len(band), max(sizes), band.shape[2])
    padded[:, : band.shape[1]] = band
    parts = bands.gathered(padded)
    return torch.cat([part[:, :size] for part, size in zip(parts, sizes, strict=True)], 1)
