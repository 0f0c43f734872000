"""The README is run: each command and each line of Python in it, with fewer steps."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from .test_cli import call, trained

ROOT = Path(__file__).resolve().parents[1]
FAST = {"bench": ("--steps=1", "--repetitions=1"), "edit": ("--steps=2",)}
FAST |= dict.fromkeys(("batch", "generate", "maps"), FAST["edit"])
FAST["story"] = ("--steps=2", "--masks=words")  # too few steps for the judge


def _blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _commands() -> list[list[str]]:
    lines = "".join(_blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines]


@trained
@pytest.mark.slow
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = set()
    for program, name, *rest in _commands():
        if program != "attention-studio":
            continue
        if name in ("ground", "replay"):
            rest[0] = str(min(Path("out").glob("*/0*.png")))
        if name == "batch":
            rest[0] = str(ROOT / rest[0])
        done = call(name, *rest, *FAST.get(name, ()))
        assert done.exit_code == 0, (name, done.stderr)
        ran.add(name)
    assert {"batch", "bench", "edit", "generate", "ground", "maps", "replay", "story"} <= ran


@trained
@pytest.mark.slow
def test_the_python_runs(tmp_path: Path) -> None:
    wide = torch.randn(1, 1, 512 + 64 * 64, 64, generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = dict.fromkeys("qkv", wide)
    for block in _blocks("python"):
        fewer = block.replace("num_inference_steps=30", "num_inference_steps=2")
        fewer = fewer.replace('controls=("p2p",), seed=1', 'controls=("p2p",), seed=1, steps=2')
        script = tmp_path / "block.py"
        script.write_text(fewer, encoding="utf-8")
        names = runpy.run_path(str(script), names)
    assert names["edit"].size == names["source"].size
    assert len(names["result"].images) == 2
    assert names["out"].shape == wide.shape


def test_the_make_targets_exist_and_ci_runs_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", text, re.MULTILINE))
    targets = {one or other for one, other in named}
    assert {"run", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for target in targets - {"app", "help"}:  # the browser tests start the app
        assert re.search(rf"^ *(nice -n \d+ )?make\b.*\b{target}\b", ci, re.MULTILINE), target


def test_the_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link
