"""Two processes draw the picture that one draws, each with half of the image tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from attention_studio.emoji.train.autoencoder import build_autoencoder
from attention_studio.emoji.train.emoji_flux import build_emoji_flux
from attention_studio.emoji.train.save import save_pipeline
from attention_studio.emoji.train.tokenizer import MAX_TOKENS
from attention_studio.pipelines.load import load
from attention_studio.pipelines.patches import shared_rows
from attention_studio.processors import LocalWindow
from attention_studio.processors.attach import attach
from attention_studio.processors.controls.share_rows import Bands

from ..processors.joint_pipelines import JointStudio
from .patch_worker import CASES


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What two processes drew, from the checkout: the cases, then the picture of the example."""
    out = tmp_path_factory.mktemp("patches")
    torch.manual_seed(0)
    save_pipeline(build_emoji_flux(build_autoencoder(64)), out / "emoji-flux")
    torchrun = "-m torch.distributed.run --standalone --nproc-per-node=2 -m".split()
    command = [sys.executable, *torchrun, "tests.pipelines.patch_worker", out]
    command += [root / "examples" / "patches.py", "--out", out / "patches.png"]
    command += ["--model", out / "emoji-flux", "--prompt", "a cat"]
    command += ["--radius", 3, "--side", 64, "--steps", 2]
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=500,
    )
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    return out


@pytest.mark.parametrize("name", CASES)
def test_two_processes_draw_what_one_draws(drawn: Path, name: str) -> None:
    window, asked = CASES[name]
    studio = JointStudio("flux")
    with attach(studio.pipe, [window]):
        expected = studio(**asked)
    stock = studio(**asked)
    found = [load_file(drawn / f"{name}.{rank}.safetensors")["latents"] for rank in (0, 1)]
    for picture in found:
        assert (picture - expected).abs().max() <= 1e-4
    if window.radius < 8:
        assert (expected - stock).abs().max() > 1e-2, "windows must matter"


def test_the_example_draws_what_one_process_draws(drawn: Path) -> None:
    pipe: Any = load(drawn / "emoji-flux")
    with attach(pipe, [LocalWindow(3)]):
        (expected,) = pipe(
            "a cat",
            height=64,
            width=64,
            num_inference_steps=2,
            max_sequence_length=MAX_TOKENS,
            generator=torch.Generator().manual_seed(0),
        ).images
    apart = np.abs(np.asarray(Image.open(drawn / "patches.png"), int) - np.asarray(expected, int))
    assert apart.max() <= 1, "rounded to bytes"


def test_each_holds_half_of_the_image_tokens(drawn: Path) -> None:
    facts = [json.loads((drawn / f"{rank}.json").read_text()) for rank in (0, 1)]
    for name, (_, asked) in CASES.items():
        rows, width = (asked.get(side, 32) // 4 for side in ("height", "width"))
        both = [fact["held"][name] for fact in facts]
        assert both == [[rows // 2 * width], [(rows - rows // 2) * width]]


def test_what_cannot_be_shared_is_refused_and_nothing_is_left(drawn: Path) -> None:
    for rank in (0, 1):
        facts = json.loads((drawn / f"{rank}.json").read_text())
        first, second = facts["said"]
        assert "pooled: came 2 for a picture that processes share" in first
        assert "a picture of 1 rows of tokens came for 2 processes" in second
        assert facts["stock again"]


@pytest.mark.parametrize(("name", "said"), [("sd3", "expected a FLUX"), ("flux", "torchrun")])
def test_without_flux_or_a_group_it_is_refused(name: str, said: str) -> None:
    studio = JointStudio(name)
    with pytest.raises(ValueError, match=said), shared_rows(studio.pipe, LocalWindow(2)):
        pass


def test_rows_are_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    def three(*_: Any) -> int:
        return 3

    monkeypatch.setattr("torch.distributed.get_world_size", three)
    bands = Bands(height=10)
    assert [bands.of(rank) for rank in range(3)] == [(0, 3), (3, 6), (6, 10)]
    assert [bands.near(rank, 4) for rank in range(3)] == [(0, 7), (0, 10), (2, 10)]
