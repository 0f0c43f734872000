"""Distillation: a few steps lower the loss, a broken run goes on, the rest stays as it was."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from attention_studio.distill import Distillation, distill
from attention_studio.distill.low_rank import add_low_rank, merge_low_rank
from attention_studio.distill.student import Student, chosen_blocks
from attention_studio.distill.teacher import draw_pictures
from attention_studio.pipelines.clear_weights import load_clear
from attention_studio.processors import LocalWindow
from attention_studio.processors.attach import attach
from attention_studio.processors.standing import standing

from ..processors.joint_pipelines import LENGTH, SIDE, JointStudio

PROMPTS = ["a cat on grass", "a tiger on sand", "a dog on grass"]
SETTINGS = Distillation(
    radius=2,
    pooled=2,
    every=1,
    steps=6,
    batch=2,
    learning_rate=2e-3,
    warmup_steps=1,
    size=(SIDE, SIDE),
    drawn_in=2,
    unprompted=0.25,
    guidance=2.0,
    max_sequence_length=LENGTH,
    save_every=2,
)


def parameters(pipe: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in pipe.transformer.named_parameters()}


def losses(folder: Path, part: str = "loss") -> list[float]:
    with (folder / "losses.csv").open(newline="") as file:
        return [float(row[part]) for row in csv.DictReader(file)]


def is_trained(name: str) -> bool:
    return any(f".attn.{part}." in name for part in ("to_q", "to_k", "to_v", "to_out"))


def test_steps_lower_the_loss_and_the_rest_of_the_model_keeps_its_bits(tmp_path: Path) -> None:
    studio = JointStudio("flux")
    before = parameters(studio.pipe)
    # an untrained teacher knows nothing of flows, so what counts is how near the student comes
    long = replace(SETTINGS, steps=30, save_every=100, teacher=1000.0, attention=100.0)
    done = distill(studio.pipe, PROMPTS, long, tmp_path, cpu=True)
    assert (done.steps, done.now) == (30, 30)
    for part, most in (("loss", 0.8), ("teacher", 0.7), ("attention", 0.7)):
        found = losses(tmp_path, part)
        assert len(found) == 30 and sum(found[-6:]) < most * sum(found[:6]), (part, found)
    after = parameters(studio.pipe)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]) != is_trained(name), name
    assert not any(p.requires_grad for p in studio.pipe.transformer.parameters())
    fresh = JointStudio("flux")
    window = load_clear(fresh.pipe, done.weights)
    assert (window.radius, window.pooled, len(window.weights)) == (2, 2, 4)
    assert all(not torch.equal(w, torch.full((2, 2), 0.25)) for w in window.weights.values())
    with attach(fresh.pipe, [window]):
        pictures = fresh()
    with attach(studio.pipe, [window]):
        assert torch.equal(studio(), pictures)


def test_each_half_of_the_steps_learns_with_its_own_window(tmp_path: Path) -> None:
    everything = 100.0
    whole = replace(SETTINGS, radius=everything, late=1, pooled=None, learning_rate=0.0)
    done = distill(JointStudio("flux").pipe, PROMPTS, whole, tmp_path, cpu=True)
    off = [loss > 1e-6 for loss in losses(tmp_path, "teacher")]
    assert off == [False, False, True] * 2, "one batch of three is of the second half"
    window = load_clear(JointStudio("flux").pipe, done.weights)
    assert (window.radius, window.late) == (everything, 1)


def test_samples_have_both_windows(tmp_path: Path) -> None:
    both = replace(SETTINGS, late=1, pooled=None, steps=3, learning_rate=0.0, show_every=3)
    studio = JointStudio("flux")
    done = distill(studio.pipe, PROMPTS, both, tmp_path, shown=PROMPTS[:1], cpu=True)
    with attach(studio.pipe, [load_clear(studio.pipe, done.weights)]), torch.no_grad():
        drawn = studio.pipe(
            PROMPTS[:1],
            height=SIDE,
            width=SIDE,
            generator=[torch.Generator().manual_seed(0)],
            **both.call(studio.pipe, 1),
        )
    with Image.open(tmp_path / "samples" / "000003.png") as shown:
        assert np.array_equal(np.asarray(shown), np.asarray(drawn.images[0]))


@pytest.mark.parametrize("rank", [None, 2])
def test_a_run_in_two_parts_is_the_run_in_one(tmp_path: Path, rank: int | None) -> None:
    settings = replace(SETTINGS, rank=rank, accumulate=2)
    whole = JointStudio("flux")
    distill(whole.pipe, PROMPTS, settings, tmp_path / "one", cpu=True)
    first, second = JointStudio("flux"), JointStudio("flux")
    distill(first.pipe, PROMPTS, replace(settings, steps=3), tmp_path / "two", cpu=True)
    done = distill(second.pipe, PROMPTS, settings, tmp_path / "two", cpu=True)
    assert (done.steps, done.now) == (6, 3)
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    after = parameters(second.pipe)
    for name, value in parameters(whole.pipe).items():
        assert torch.equal(value, after[name]), name
    with pytest.raises(ValueError, match=r"checkpoint: .* expected the same"):
        distill(second.pipe, PROMPTS, replace(settings, radius=3), tmp_path / "two", cpu=True)


def test_a_run_begins_anew_when_told_to(tmp_path: Path) -> None:
    settings, studio = replace(SETTINGS, steps=1), JointStudio("flux")
    distill(studio.pipe, PROMPTS, settings, tmp_path, cpu=True)
    other = replace(settings, guidance=3.0)
    for changed in (other, replace(settings, radius=3)):
        with pytest.raises(ValueError, match=r"expected .*a folder of its own"):
            distill(JointStudio("flux").pipe, PROMPTS, changed, tmp_path, cpu=True)
    done = distill(JointStudio("flux").pipe, PROMPTS, other, tmp_path, cpu=True, resume=False)
    assert (done.steps, done.now) == (1, 1) and len(losses(tmp_path)) == 1


def test_recomputed_blocks_have_the_same_gradients(tmp_path: Path) -> None:
    found = []
    for again in (False, True):
        studio = JointStudio("flux")
        settings = replace(SETTINGS, steps=2, checkpointing=again)
        distill(studio.pipe, PROMPTS, settings, tmp_path / str(again), cpu=True)
        found.append(parameters(studio.pipe))
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], atol=1e-6), name


def test_pictures_are_drawn_once_and_never_mixed(tmp_path: Path) -> None:
    studio = JointStudio("flux")
    one_by_one = replace(SETTINGS, drawn_batch=1)  # which gives the same bits again
    pictures = draw_pictures(studio.pipe, PROMPTS, one_by_one, tmp_path)
    assert pictures.size == (16, 16)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(files) == [f"00000{i}.safetensors" for i in range(3)] + ["empty.safetensors"]
    (tmp_path / "000001.safetensors").unlink()
    for process in (0, 1):
        draw_pictures(studio.pipe, PROMPTS, one_by_one, tmp_path, place=(process, 2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    batch = pictures.batch([2, 0], [False, True])
    again = pictures.batch([2, 0], [False, False])
    assert torch.equal(batch.latents, again.latents) and batch.latents.shape == (2, 64, 16)
    assert torch.equal(batch.context[0], again.context[0])
    assert not torch.equal(batch.context[1], again.context[1])
    with pytest.raises(ValueError, match=r"pictures: .* expected a folder of its own"):
        draw_pictures(studio.pipe, PROMPTS[::-1], SETTINGS, tmp_path)


def test_samples_are_drawn_with_windows(tmp_path: Path) -> None:
    from PIL import Image

    studio = JointStudio("flux")
    settings = replace(SETTINGS, steps=1)
    distill(studio.pipe, PROMPTS[:1], settings, tmp_path, shown=PROMPTS[:2], cpu=True)
    assert Image.open(tmp_path / "samples" / "000001.png").size == (2 * SIDE, SIDE)


def test_the_chosen_blocks_are_those_of_the_script() -> None:
    """Of 2 + 2 blocks those with one stream have the numbers 2 and 3."""
    pipe = JointStudio("flux").pipe
    assert chosen_blocks(pipe, pipe.transformer, 2) == ("single_transformer_blocks.0.attn",)
    assert len(chosen_blocks(pipe, pipe.transformer, 1)) == 2
    with pytest.raises(ValueError, match="every: came 5"):
        chosen_blocks(pipe, pipe.transformer, 5)
    qwen = JointStudio("qwen").pipe
    with pytest.raises(ValueError, match="expected less, and a FLUX model"):
        Student(qwen, qwen.transformer, SETTINGS)


@pytest.mark.parametrize("name", ["flux", "sd3", "qwen"])
def test_what_cannot_be_taught_is_said_before_pictures_are_drawn(name: str, tmp_path: Path) -> None:
    pipe = JointStudio(name).pipe
    with pytest.raises(ValueError, match="prompts: none came"):
        distill(pipe, [], SETTINGS, tmp_path, cpu=True)
    if name != "flux":
        with pytest.raises(ValueError, match=f"pipe: came a {type(pipe).__name__}; expected a FL"):
            distill(pipe, PROMPTS, SETTINGS, tmp_path, cpu=True)
        return
    for settings, said in (
        (replace(SETTINGS, every=5), "every: came 5"),
        (replace(SETTINGS, size=(30, 32)), "size: came 30 x 32; expected multiples of 8 pixels"),
        (replace(SETTINGS, pooled=3), "multiples of 12 pixels, the side of a cell"),
    ):
        with pytest.raises(ValueError, match=said):
            distill(pipe, PROMPTS, settings, tmp_path, cpu=True)
    assert not list(tmp_path.rglob("*.safetensors"))
    for wrong, said in (
        ({"radius": -1.0}, "radius: came -1.0"),
        ({"pooled": 1}, "pooled: came 1"),
        ({"warmup_steps": 0}, "warmup_steps: came 0; expected 1 or more"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(SETTINGS, **wrong)  # type: ignore[arg-type]


def test_a_low_rank_change_begins_at_nothing_and_ends_in_the_weight() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    expected = layer(x)
    down, up = add_low_rank([layer], 2)
    assert torch.equal(layer(x), expected)
    up.data.normal_()
    changed = layer(x)
    merge_low_rank([layer])
    assert torch.allclose(layer(x), changed) and not torch.allclose(changed, expected)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    assert torch.linalg.matrix_rank(up @ down) == 2


def test_windows_without_attach_are_those_of_attach() -> None:
    """`standing` in a call of the denoiser itself, whose inputs a run of the pipeline tells."""
    studio = JointStudio("flux")
    calls: list[tuple[dict[str, Any], Tensor]] = []

    def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        calls.append((kwargs, out[0]))

    window = LocalWindow(2, pooled=2)
    hook = studio.pipe.transformer.register_forward_hook(keep, with_kwargs=True)
    with attach(studio.pipe, [window]):
        studio(guidance=1.0)
    hook.remove()
    (inputs, expected), *_ = calls
    processors = dict(studio.pipe.transformer.attn_processors)
    with torch.no_grad(), standing(studio.pipe, studio.pipe.transformer, [window]):
        found = studio.pipe.transformer(**inputs)[0]
    assert torch.equal(found, expected)
    with (
        pytest.raises(ValueError, match="controls: LocalWindow changes a run's"),
        standing(studio.pipe, studio.pipe.transformer, [LocalWindow(2, ntk=10)]),
    ):
        pass
    after = studio.pipe.transformer.attn_processors
    assert all(after[name] is processor for name, processor in processors.items())
