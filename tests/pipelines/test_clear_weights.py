"""Published weights of CLEAR: what fits is loaded whole, what does not changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attention_studio.pipelines.clear_weights import load_clear, save_clear, trained_parts
from attention_studio.processors import LocalWindow
from attention_studio.processors.attach import attach

from ..processors.joint_pipelines import JointStudio

SITES = [f"transformer_blocks.{i}.attn" for i in (0, 1)]
SITES += [f"single_transformer_blocks.{i}.attn" for i in (0, 1)]


def published(studio: JointStudio, side: int | None) -> dict[str, Tensor]:
    """As the authors' files: no metadata, cells under the processor's name."""
    draw = torch.Generator().manual_seed(9)
    found = {
        name: torch.randn(value.shape, generator=draw) * 0.1
        for name, value in studio.pipe.transformer.named_parameters()
        if any(f".{part}." in name for part in ("to_q", "to_k", "to_v", "to_out"))
    }
    if side:
        shape = (1, 1, side, side)
        for site in SITES:
            cells = torch.rand(shape, generator=draw)
            found[f"{site}.processor.spatial_weight"] = cells
    return found


@pytest.mark.parametrize("side", [None, 2])
def test_they_are_loaded_whole_and_draw_with_their_window(tmp_path: Path, side: int | None) -> None:
    studio, file = JointStudio("flux"), tmp_path / "clear.safetensors"
    tensors = published(studio, side)
    assert sum("to_out" in name for name in tensors) == 2 * 2, "single blocks have no output"
    save_file(tensors, file)
    before = {k: v.clone() for k, v in studio.pipe.transformer.named_parameters()}
    window = load_clear(studio.pipe, file, radius=3)
    assert (window.radius, window.pooled, len(window.weights)) == (3, side, 4 if side else 0)
    for name, value in studio.pipe.transformer.named_parameters():
        assert torch.equal(value, tensors.get(name, before[name]))
    with attach(studio.pipe, [window]):
        with_cells = studio()
    if side:
        with attach(studio.pipe, [LocalWindow(3, pooled=side)]):
            assert not torch.allclose(studio(), with_cells, atol=1e-4)
    modules = {site: studio.pipe.transformer.get_submodule(site) for site in SITES}
    save_clear(studio.pipe.transformer, modules, window, tmp_path / "own.safetensors")
    written = load_file(tmp_path / "own.safetensors")
    assert written.keys() == tensors.keys()
    other = JointStudio("flux")
    again = load_clear(other.pipe, tmp_path / "own.safetensors")
    assert (again.radius, again.late) == (3, None)
    with attach(other.pipe, [again]):
        assert torch.equal(other(), with_cells)
    narrower = replace(window, late=1.5)
    save_clear(studio.pipe.transformer, modules, narrower, tmp_path / "late.safetensors")
    assert load_clear(other.pipe, tmp_path / "late.safetensors").late == 1.5


def test_what_does_not_fit_is_one_sentence_and_changes_nothing(tmp_path: Path) -> None:
    studio, file = JointStudio("flux"), tmp_path / "clear.safetensors"
    whole = published(studio, 2)
    before = {k: v.clone() for k, v in studio.pipe.transformer.named_parameters()}
    first = f"{SITES[0]}.to_q.weight"
    cases: list[tuple[dict[str, Tensor], str]] = [
        ({k: v for k, v in whole.items() if k != first}, f"lacks 1 of 28 .*'{first}'"),
        ({**whole, "x.to_q.weight": torch.ones(2)}, "1 tensors that the transformer does not know"),
        (
            {**whole, first: torch.ones(3, 3)},
            r"of shape \[3, 3\]; the transformer's has \[16, 16\]",
        ),
        ({k: v for k, v in whole.items() if k != f"{SITES[0]}.processor.spatial_weight"}, "3 of 4"),
        ({**whole, f"{SITES[0]}.processor.spatial_weight": torch.ones(5)}, "5 numbers"),
        ({**whole, "y.attn.processor.spatial_weight": torch.ones(4)}, "does not know, such as"),
    ]
    for tensors, said in cases:
        save_file(tensors, file)
        with pytest.raises(ValueError, match=said):
            load_clear(studio.pipe, file, radius=3)
    save_file(whole, file)
    with pytest.raises(ValueError, match="does not say for which it was trained"):
        load_clear(studio.pipe, file)
    save_file(whole, file, metadata={"radius": "8.0"})
    with pytest.raises(ValueError, match="radius: came 3, but"):
        load_clear(studio.pipe, file, radius=3)
    save_file(whole, file, metadata={"radius": "-8.0"})
    with pytest.raises(ValueError, match=r"radius: came -8\.0"):
        load_clear(studio.pipe, file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match="cut short"):
        load_clear(studio.pipe, file, radius=3)
    after = dict(studio.pipe.transformer.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_only_the_image_streams_projections_are_trained() -> None:
    studio = JointStudio("flux")
    double = studio.pipe.transformer.get_submodule(SITES[0])
    names = ["to_q", "to_k", "to_v", "to_out.0"]
    assert sorted(trained_parts(double)) == sorted(
        f"{name}.{kind}" for name in names for kind in ("weight", "bias")
    )
