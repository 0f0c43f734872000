"""A session that draws plain colours at once, and a runner that writes down what it did."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from attention_studio.app.draft import words_of
from attention_studio.finer_spec import finer_sizes
from attention_studio.gallery import Gallery
from attention_studio.jobs import Job, Report, SessionRunner
from attention_studio.recipe import Recipe
from attention_studio.result import Result

STEP_S = 0.02
SLOW_STEP_S = 0.15  # for a recipe whose seed is `SLOW_SEED`
SLOW_SEED = 99


class FakeSession:
    """Pictures whose colour is their prompt's, maps that grow to the right."""

    def warm(self, model: str | None = None) -> float:
        return 0.0

    def words(self, prompt: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(words_of(prompt)))

    def run(
        self,
        recipe: Recipe,
        *,
        progress: Callable[[int, int], None],
        cancel: Callable[[], bool],
        preview: Callable[[Image.Image], None],
        plain: bool = False,
        drawn: Callable[[Result], None] = lambda result: None,
    ) -> Result:
        if recipe.negative.startswith("fail"):
            raise ValueError(f"negative: {recipe.negative!r} came; expected <b>no</b> *failure*")
        plain = plain and bool(recipe.controls)
        total = recipe.steps * (1 + plain)

        def steps(start: int, pictures: int) -> None:
            for step in range(start + 1, start + recipe.steps + 1):
                if cancel():
                    raise RuntimeError("cancelled")
                time.sleep(SLOW_STEP_S if recipe.seed == SLOW_SEED else STEP_S)
                progress(step, total)
                preview(Image.new("RGB", (32 * pictures, 32), (step * 9 % 256, 80, 120)))

        steps(0, len(recipe.prompts))
        result = self._result(recipe)
        if not plain:
            return result
        drawn(result)
        steps(recipe.steps, 1)
        if recipe.is_edit:
            return replace(result, plain=result.images[1:])
        receipts = (self._receipt({}),) * len(result.images)
        return replace(result, plain=result.images, receipts=receipts)

    def _receipt(self, shift: Mapping[str, float]) -> Any:
        return SimpleNamespace(  # a Receipt, which would take torch to import
            changed_inside=40.0,
            changed_outside=0.5,
            psnr_outside=41.0,
            effect="visible",
            map_shift=shift,
        )

    def _result(self, recipe: Recipe) -> Result:
        height, width = recipe.size or (64, 64)
        tall, wide = [(height, width), *finer_sizes((height, width), recipe.finer)][-1]
        images = [_picture(prompt, wide, tall) for prompt in recipe.prompts]
        recorded = [spec for spec in recipe.controls if spec.control == "record_maps"]
        ramp = np.tile(np.linspace(0, 0.5, 16, dtype=np.float32), (16, 1))
        maps = {
            word: tuple(ramp if word in words_of(p) else None for p in recipe.prompts)
            for spec in recorded
            for word in spec.words  # type: ignore[union-attr]
        }
        shift = dict.fromkeys(list(maps)[:2], 0.1)
        return Result(
            recipe=recipe.model_copy(update={"size": (height, width)}),
            images=tuple(images),
            maps=maps,
            receipts=(self._receipt(shift),) * (len(recipe.prompts) - 1 if recipe.is_edit else 0),
            warnings=("seen <i>in</i> *passing*",) if recipe.negative else (),
            timings={"load": 0.0, "generate": 0.1},
            made={"scheduler": "DDIMScheduler"},
            peak_bytes=1_500_000_000,
        )


def _picture(prompt: str, width: int, height: int) -> Image.Image:
    red, green, blue = np.random.default_rng(list(prompt.encode()) or [0]).integers(40, 216, 3)
    return Image.new("RGB", (width, height), (int(red), int(green), int(blue)))


class Counting(SessionRunner):
    """Writes down each start in `starts.jsonl`, so that a test sees what ran, and how often."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FakeSession(), Gallery(folder))  # type: ignore[arg-type]
        self._log = folder / "starts.jsonl"
        with self._log.open("a", encoding="utf-8") as log:
            log.write('"worker"\n')

    def __call__(self, job: Job, report: Report) -> Mapping[str, Any]:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(json.loads(job.recipe)["prompts"]) + "\n")
        return super().__call__(job, report)


def make_counting(folder: Path, device: str) -> Counting:
    """For a worker in a process of its own."""
    return Counting(folder)


def drawn(recipe: Recipe, *, plain: bool = False) -> Result:
    """A run that nobody watches."""
    return FakeSession().run(
        recipe,
        progress=lambda done, total: None,
        cancel=lambda: False,
        preview=lambda image: None,
        plain=plain,
    )
