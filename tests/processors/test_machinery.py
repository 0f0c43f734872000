"""What diffusers can do to a denoiser meanwhile: adapters, offload, casting, half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from attention_studio.processors import (
    Control,
    KeepLayout,
    RecordMaps,
    RefineWords,
    ReweightWords,
)
from attention_studio.processors.attach import attach

from .conftest import SIDE, Studio
from .test_stock import IDLE, traces


def lora(unet: Any) -> None:
    import peft

    torch.manual_seed(0)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False))


def layerwise(unet: Any) -> None:
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def groups(unet: Any) -> None:
    place = torch.device("cpu")
    unet.enable_group_offload(place, place, offload_type="leaf_level")


def accelerate_hooks(unet: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(unet, execution_device=torch.device("cpu"))


def bf16(unet: Any) -> None:
    """Half precision of the whole pipeline is set below."""


MACHINERY = [lora, layerwise, groups, accelerate_hooks, bf16]


def check_laws_under(
    machinery: Callable[[Any], None],
    studio: Any,
    denoiser: Any,
    idle: list[Control],
    edits: list[Control],
) -> None:
    """Stock bits without an effect, an edit with one, nothing left behind."""
    plain = studio()
    if machinery is bf16:
        studio.pipe.to(torch.bfloat16)
    machinery(denoiser)
    base = studio()
    if machinery in (lora, layerwise, bf16):
        assert not torch.equal(base, plain)
    before = traces(studio.pipe)
    with attach(studio.pipe, idle):
        assert torch.equal(studio(), base)
    with attach(studio.pipe, [*edits, RecordMaps(("grass",))]) as run:
        out = studio()
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])
    assert bool(run.maps.get("grass", prompt=1).isfinite().all())
    assert traces(studio.pipe) == before
    assert torch.equal(studio(), base)


@pytest.mark.parametrize("machinery", MACHINERY)
def test_the_laws_hold_under(machinery: Callable[[Any], None]) -> None:
    studio = Studio("sd", SIDE // 2)
    edits = [RefineWords(), ReweightWords({"tiger": 3.0}), KeepLayout()]
    check_laws_under(machinery, studio, studio.pipe.unet, IDLE, edits)
