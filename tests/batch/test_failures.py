"""R5 to R9: failing rows, numbers that are none, short memory, stopping, broken models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attention_studio import Session
from attention_studio.batch.decoding import sound_decoding
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.ladder import climb_down
from attention_studio.batch.run import run_batch
from attention_studio.stored import read_stored

from .rows import FOUR, MakeBatch


def test_a_failing_row_stops_nothing(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: three tries, then quarantine with the traceback."""
    original, tries = warm.run_together, []

    def run_together(recipes: Any, **more: Any) -> Any:
        if any(recipe.prompts == ("a cat 2",) for recipe in recipes):
            tries.append(len(recipes))
            raise RuntimeError("the device is on fire")
        return original(recipes, **more)

    monkeypatch.setattr(warm, "run_together", run_together)
    batch = make_batch(FOUR)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, found.counts.failed, found.failed) == (3, 1, True)
    assert tries == [1, 1, 1]
    (line,) = (batch.out / "quarantine.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["id"], told["error"]) == ("2", "RuntimeError: the device is on fire")
    assert "Traceback" in told["traceback"] and "run_together" in told["traceback"]
    assert run_batch(batch, session=warm).drawn == 0
    monkeypatch.setattr(warm, "run_together", original)
    again = run_batch(replace(batch, retry=True), session=warm)
    assert (again.counts.done, again.drawn) == (4, 1)
    assert not (batch.out / "quarantine.jsonl").exists()


def test_a_bad_row_takes_no_other_of_its_call_with_it(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = warm.run_together

    def run_together(recipes: Any, **more: Any) -> Any:
        if any(recipe.prompts == ("a cat 2",) for recipe in recipes):
            raise ValueError("word: no")
        return original(recipes, **more)

    monkeypatch.setattr(warm, "run_together", run_together)
    batch = make_batch(FOUR, together=4)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, found.counts.failed) == (3, 1)
    stored = read_stored(batch.out / "pictures/0000/1/picture.png")
    assert stored.made["steps_taken"] == "alone, since its call failed"


def test_latents_that_are_no_numbers(make_batch: MakeBatch, warm: Session, broken: Any) -> None:
    """R6: every one is caught, in the step in which it comes, and nothing is saved."""
    calls: list[int] = []

    def poison(sample: torch.Tensor) -> None:
        calls.append(1)
        sample.view(-1)[0] = torch.nan

    broken(poison)
    batch = make_batch(FOUR[:2], steps=20)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, found.counts.failed) == (0, 2)
    assert len(calls) == 2 * 3  # one step of each try
    assert not list(batch.out.rglob("*.png"))
    assert "no longer numbers" in (batch.out / "quarantine.jsonl").read_text()


@pytest.mark.parametrize(
    ("at", "value"), [(1, torch.inf), (2, torch.nan), (5, -torch.inf), (8, torch.nan)]
)
def test_whatever_step_the_numbers_are_lost_in(
    make_batch: MakeBatch, warm: Session, broken: Any, at: int, value: float
) -> None:
    """R6: caught within that step, and never a picture."""
    calls: list[int] = []

    def poison(sample: torch.Tensor) -> None:
        calls.append(1)
        if len(calls) == at:
            sample.view(-1)[at % sample.numel()] = value

    broken(poison)
    batch = make_batch(FOUR[:1], steps=8)
    found = run_batch(batch, session=warm)
    stored = batch.out / "pictures/0000/0/picture.png"
    assert (found.counts.done, len(calls)) == (1, at + 8)  # stopped, then drawn anew
    clean = make_batch(FOUR[:1], steps=8, out="clean")
    run_batch(clean, session=warm)
    assert stored.read_bytes() == (clean.out / "pictures/0000/0/picture.png").read_bytes()


def test_a_decoder_that_overflows_gets_one_try_in_float32(warm: Session) -> None:
    vae = warm.pipe.vae
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    right = vae.decode(latents).sample
    original, seen = vae.decoder.forward, []

    def overflowing(sample: Any, *args: Any) -> Any:
        seen.append(sample.dtype)
        found = original(sample, *args)
        return found if sample.dtype == torch.float32 else found * torch.inf

    vae.decoder.forward = overflowing
    try:
        vae.to(torch.bfloat16)
        with sound_decoding(warm.pipe) as said:
            found = warm.pipe.vae.decode(latents.bfloat16()).sample
        assert vae.dtype == torch.bfloat16
    finally:
        del vae.decoder.forward
        vae.to(torch.float32)
    assert seen == [torch.bfloat16, torch.float32]
    assert said == ["decoded in float32, since bfloat16 overflowed"]
    assert torch.allclose(found, right, atol=0.1)
    assert "decode" not in vars(vae)


def test_a_picture_without_numbers_is_never_a_success(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = warm.pipe.vae.decoder.forward
    monkeypatch.setattr(warm.pipe.vae.decoder, "forward", lambda *args: original(*args) * torch.nan)
    batch = make_batch(FOUR[:2], together=2)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, found.counts.failed) == (0, 2)
    assert "holds no numbers" in (batch.out / "quarantine.jsonl").read_text()


def _short(most: int, seen: list[int]) -> Callable[[torch.Tensor], None]:
    def check(sample: torch.Tensor) -> None:
        rows = len(sample.chunk(2)[0])  # with and without the prompt
        seen.append(rows)
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory (said by a test)")

    return check


def test_short_memory_halves_the_call(make_batch: MakeBatch, warm: Session, broken: Any) -> None:
    """R5: the steps are part of the record, and the next call starts at the top."""
    seen: list[int] = []
    broken(_short(2, seen))
    batch = make_batch(FOUR, together=4)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, seen) == (4, [4, 2, 2])
    stored = read_stored(batch.out / "pictures/0000/0/picture.png")
    assert stored.made["steps_taken"] == "2 at once"


def test_memory_for_nothing_fails_this_call_only(
    make_batch: MakeBatch, warm: Session, broken: Any
) -> None:
    seen: list[int] = []
    limit = [0]
    broken(lambda sample: _short(limit[0], seen)(sample))
    batch = make_batch(FOUR, together=2)

    def told(*_: Any) -> None:
        limit[0] = 4

    found = run_batch(batch, session=warm, told=told)
    assert (found.counts.done, found.counts.failed) == (2, 2)
    assert seen == [2, 1, 1, 2]  # all, one by one, in tiles; then the next call at its size
    assert not warm.pipe.vae.use_tiling and not warm.pipe.vae.use_slicing
    error = next(BatchJournal(batch.out).items(state="failed")).error
    assert error is not None and "out of memory" in error


def test_the_ladder_has_five_steps_and_is_climbed_up_again() -> None:
    """R5: each call begins at the top, and leaves the pipeline as it was."""
    done: list[str] = []
    vae = SimpleNamespace(
        use_slicing=False,
        use_tiling=False,
        enable_slicing=lambda: setattr(vae, "use_slicing", True),
        enable_tiling=lambda: setattr(vae, "use_tiling", True),
    )
    pipe = SimpleNamespace(
        vae=vae,
        device="cuda:0",
        enable_model_cpu_offload=lambda device: done.append(f"model offload on {device}"),
        enable_sequential_cpu_offload=lambda device: done.append(f"layer offload on {device}"),
        remove_all_hooks=lambda: done.append("hooks off"),
        to=lambda device: done.append(f"back to {device}"),
    )
    seen: list[tuple[int, bool]] = []

    def draw(items: Sequence[int]) -> Sequence[int]:
        seen.append((len(items), vae.use_tiling))
        raise torch.OutOfMemoryError("CUDA out of memory (said by a test)")

    with pytest.raises(torch.OutOfMemoryError):
        climb_down(range(4), pipe, draw)
    assert seen == [(4, False), (2, False), (1, False), (1, True), (1, True), (1, True)]
    assert done == [
        "model offload on cuda:0",
        "layer offload on cuda:0",
        *("hooks off", "back to cuda:0") * 2,
    ]
    assert not vae.use_tiling and not vae.use_slicing
    found, steps = climb_down(range(4), pipe, lambda items: items)
    assert (found, steps) == ([0, 1, 2, 3], ())


@pytest.mark.parametrize("kind", ["empty", "truncated", "pointer", "page", "pickle", "text"])
def test_a_broken_model_is_explained(
    make_batch: MakeBatch, warm: Session, tmp_path: Path, tiny_sd: Path, kind: str
) -> None:
    """R9 and S1: rows of other models go on; the sentence names the file."""
    whole = (tiny_sd / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    data = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "page": b"<!doctype html><title>404</title>",
        "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "text": b"hello",
    }[kind]
    model = tmp_path / f"{kind}.safetensors"
    model.write_bytes(data)
    rows = [{"id": "bad", "prompt": "a cat", "model": str(model)}, *FOUR[:1]]
    found = run_batch(make_batch(rows), session=warm)
    assert found.counts.done == 1
    assert found.counts.refused + found.counts.failed == 1
    refused = [error for _, error in found.refused]
    journal = BatchJournal(found.report.parent)
    said = refused or [str(item.error) for item in journal.items(state="failed")]
    assert kind in said[0] and "Traceback" not in said[0] and "HeaderTooLarge" not in said[0]


def test_a_model_that_is_not_there_refuses_its_rows(make_batch: MakeBatch) -> None:
    with pytest.raises(ValueError, match="no line of it makes a row; line 1: model: 'nowhere'"):
        run_batch(make_batch([{"prompt": "a cat", "model": "nowhere"}]))
