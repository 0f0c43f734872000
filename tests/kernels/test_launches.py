"""What is launched is what is checked ahead of time: constants, warps, stages, options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.ahead import OPTIONS, Specialization
from attention_studio.kernels.blocks import triton as blocks
from attention_studio.kernels.blocks.backward import triton as backward
from attention_studio.kernels.disc import disc_attention
from attention_studio.kernels.disc import triton as disc
from attention_studio.kernels.maps import triton as maps
from attention_studio.kernels.maps import word_maps
from attention_studio.kernels.merge import merge
from attention_studio.kernels.merge import triton as merging


class Watched:
    """A kernel that writes down the options of its launches."""

    def __init__(self, kernel: Any, seen: list[tuple[Any, dict[str, Any]]]) -> None:
        self.kernel, self.seen = kernel, seen

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def call(*given: Any, **options: Any) -> None:
            self.seen.append((self.kernel, options))
            self.kernel[grid](*given, **options)

        return call


def disc_of(D: int) -> Tensor:
    q, k, v = torch.randn(3, 1, 1, 43, D, dtype=torch.bfloat16).requires_grad_().unbind(0)
    out, lse = disc_attention(
        q, k, v, grids=[(3, 5, 8)], text=(0, 3), radius=16, return_lse=True, impl="triton"
    )
    return out.float().sum() + lse.sum()


def maps_of(keys: int) -> Tensor:
    q, k = (torch.randn(1, 1, n, 128, dtype=torch.bfloat16).requires_grad_() for n in (20, keys))
    return word_maps(q, k, torch.ones(1, keys, 1), torch.zeros(1, 1, 20), impl="triton").sum()


def merged() -> Tensor:
    outs = torch.randn(2, 1, 1, 20, 128, dtype=torch.bfloat16).requires_grad_()
    out, lse = merge(outs, torch.zeros(2, 1, 1, 20), impl="triton")
    return out.float().sum() + lse.sum()


@pytest.mark.parametrize(
    ("work", "modules", "count", "checked"),
    [
        (lambda: disc_of(128), (blocks, backward), 5, disc.specializations),
        (lambda: disc_of(256), (blocks, backward), 6, disc.specializations),
        (lambda: maps_of(512), (maps,), 3, maps.specializations),
        (merged, (merging,), 2, merging.specializations),
    ],
    ids=["disc", "disc, dK and dV apart", "maps", "merge"],
)
def test_every_launch_has_its_specialization(
    work: Callable[[], Tensor],
    modules: tuple[Any, ...],
    count: int,
    checked: Callable[[], list[Specialization]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = checked()
    seen: list[tuple[Any, dict[str, Any]]] = []
    for module in modules:
        for name in {spec.kernel.fn.__name__ for spec in specs} & vars(module).keys():
            monkeypatch.setattr(module, name, Watched(getattr(module, name), seen))
    work().backward()
    assert len(seen) == count
    for kernel, options in seen:
        assert any(_same(spec, options) for spec in specs if spec.kernel is kernel), options


def _same(spec: Specialization, options: dict[str, Any]) -> bool:
    """All but what differs here: the interpreter's own constant and D, which padding covers."""
    wanted = {**spec.constexprs, "num_warps": spec.num_warps, "num_stages": spec.num_stages}
    shared = {name: x for name, x in options.items() if name not in ("EMULATE", "D", *OPTIONS)}
    return all(options.get(name) == x for name, x in OPTIONS.items()) and all(
        wanted[name] == x for name, x in shared.items()
    )
