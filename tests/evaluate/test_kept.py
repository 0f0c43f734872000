"""An evaluation that was interrupted goes on with the pictures that are there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from attention_studio.emoji.words import CORE_NOUNS
from attention_studio.evaluate import EditReport, evaluate_compose, evaluate_edit
from attention_studio.evaluate.judging import Judge
from attention_studio.evaluate.kept import turns
from attention_studio.weights_digest import weights_digest


def stop_after(steps: int) -> Any:
    def progress(done: int, _total: int) -> None:
        if done >= steps:
            raise KeyboardInterrupt

    return progress


def run(pipe: Any, blind: Judge, folder: Path | None, **more: Any) -> EditReport:
    return evaluate_edit(
        pipe,
        size=(64, 64),
        judge=blind,
        folder=folder,
        **{"nouns": CORE_NOUNS, "edits": 2, "weighed": 1, "steps": 2, **more},
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def test_an_interrupted_run_goes_on(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(emoji_pipe, blind, tmp_path / "a", progress=stop_after(5))  # in the third call
    before = files(tmp_path / "a")
    assert sorted(before) == ["0001-edit.png", "0001-plain.png", "0001-source.png"]
    seen: list[tuple[int, int]] = []
    report = run(emoji_pipe, blind, tmp_path / "a", progress=lambda *at: seen.append(at))
    after = files(tmp_path / "a")
    assert {name: after[name] for name in before} == before
    assert len(after) == 2 * 3 + 5 and not [name for name in after if name.startswith(".")]
    assert seen[:3] == [(2, 10), (4, 10), (5, 10)] and seen[-1] == (10, 10)
    whole = run(emoji_pipe, blind, tmp_path / "b")
    assert [o.facts() for o in report.outcomes] == [o.facts() for o in whole.outcomes]
    assert report.seconds > 0


def test_processes_that_begin_elsewhere_share_a_folder(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    assert [*turns(5, 0.5)] == [2, 3, 4, 0, 1]
    with pytest.raises(ValueError, match=r"begin: 1\.0 came; expected a part in \[0, 1\)"):
        next(turns(5, 1.0))
    how: dict[str, Any] = {
        "nouns": CORE_NOUNS,
        "size": (64, 64),
        "prompts": 2,
        "steps": 2,
        "methods": ("segregate",),
        "judge": blind,
        "folder": tmp_path,
    }
    with pytest.raises(KeyboardInterrupt):
        evaluate_compose(emoji_pipe, begin=0.5, progress=stop_after(5), **how)
    assert sorted(files(tmp_path)) == ["0002-base.png", "0002-segregate.png"]
    report = evaluate_compose(emoji_pipe, **how)
    assert len(report.outcomes) == 2 and len(files(tmp_path)) == 4


def test_pictures_of_another_run_are_not_taken(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    run(emoji_pipe, blind, tmp_path, edits=1, weighed=0)
    run(emoji_pipe, blind, tmp_path, edits=2, weighed=0)  # more of the same is going on
    with pytest.raises(ValueError, match=r"holds pictures with steps 2, this run has 3"):
        run(emoji_pipe, blind, tmp_path, steps=3)
    digest = weights_digest(emoji_pipe)
    first = next(emoji_pipe.unet.parameters())
    with torch.no_grad():
        first += 1.0
    try:
        assert weights_digest(emoji_pipe) != digest
        with pytest.raises(ValueError, match="holds pictures with weights"):
            run(emoji_pipe, blind, tmp_path)
    finally:
        with torch.no_grad():
            first -= 1.0


def test_pictures_depend_on_nouns_and_precision(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    run(emoji_pipe, blind, tmp_path, edits=1, weighed=0)
    with pytest.raises(ValueError, match="holds pictures with nouns"):
        run(emoji_pipe, blind, tmp_path, nouns=CORE_NOUNS[1:])
    values = torch.linspace(0, 1, 3).bfloat16()  # the same in both
    pipes = [
        SimpleNamespace(components={"unet": SimpleNamespace(state_dict=partial(dict, w=w))})
        for w in (values, values.float(), values)
    ]
    narrow, wide, again = map(weights_digest, pipes)
    assert narrow == again != wide


@pytest.mark.parametrize("said", [None, "no JSON", "[]"])
def test_pictures_of_nobody_knows_what_are_not_taken(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path, said: str | None
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0001-source.png").write_bytes(b"")
    if said is not None:
        (tmp_path / "pictures.json").write_text(said)
    with pytest.raises(ValueError, match=r"out: .*no pictures.json that says of which run"):
        run(emoji_pipe, blind, tmp_path)


def test_without_a_folder_nothing_is_written(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    report = run(emoji_pipe, blind, None, edits=1, weighed=0)
    assert report.seconds > 0 and not [*tmp_path.iterdir()]
