"""A session keeps one model warm and runs recipes on it, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .device import OutOfMemoryError, choose_device, choose_dtype
from .drawing import Drawing, Watch, draw, draw_plain, draw_together
from .edit_region import edit_region
from .finer_spec import finer_steps
from .memory import estimate_bytes, free_bytes
from .models import Model, describe
from .notices import cut_words, warnings_of
from .peak import Peak
from .pipelines.load import load
from .preview import Preview
from .processors.prompts import shown_words
from .processors.receipt import Receipt, compare
from .recipe import Recipe
from .result import Result, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Progress", "Session"]

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all, over every picture of the run."""


class Session:
    """One warm model. Safe to use from several threads: runs wait for each other.

    model:   "emoji-sd", "emoji-flux", the path of a diffusers folder or single file, or the name
             of one in `folders`. It is loaded when it is first needed, and exchanged when a recipe
             names another.
    device:  "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
    dtype:   "auto" (bfloat16 on CUDA, float32 on the CPU) or the name of one.
    """

    def __init__(
        self,
        model: str = "emoji-sd",
        *,
        device: str = "auto",
        dtype: str = "auto",
        folders: Sequence[Path] = (),
        allow_download: bool = False,
    ) -> None:
        self._model = model
        self._asked = device, dtype
        self._folders = tuple(folders)
        self._allow_download = allow_download
        self._lock = RLock()
        self._pipe: Any = None
        self._about: Model | None = None
        self._preview: Preview | None = None
        self._loading = 0.0  # seconds since the last run

    @property
    def model(self) -> str:
        """The model that is warm, or will be."""
        return self._model

    @property
    def loaded(self) -> bool:
        """Whether its weights are in memory."""
        return self._pipe is not None

    @property
    def pipe(self) -> Any:
        """The warm pipeline, to be left as it was found; None before it is loaded."""
        return self._pipe

    def warm(self, model: str | None = None) -> None:
        """Loads the model, if it is not there yet; the time counts to the next run."""
        with self._lock:
            wanted = self._model if model is None else model
            if self._pipe is not None and wanted == self._model:
                return
            start = perf_counter()
            device, dtype = (choose(n) for choose, n in zip(_CHOOSE, self._asked, strict=True))
            about = describe(wanted, self._folders, allow_download=self._allow_download)
            self.close()
            self._pipe = load(
                about.path, device=device, dtype=dtype, allow_download=self._allow_download
            )
            self._model, self._about, self._preview = wanted, about, None
            self._loading += perf_counter() - start

    def close(self) -> None:
        """Lets go of the model; the next run loads it again."""
        with self._lock:
            self._pipe, self._about, self._preview = None, None, None
            _release()

    def words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the model reads whole, each once, in their order."""
        with self._lock:
            self.warm()
            tokenizer = getattr(self._pipe, "tokenizer", None)
            cut = len(cut_words(tokenizer, prompt)) if tokenizer is not None else 0
            end = len(prompt) - cut
            found = (prompt[a:b] for a, b in shown_words(prompt) if b <= end)
            return tuple(dict.fromkeys(found))

    def estimate(self, recipe: Recipe) -> int:
        """Bytes that a run will need beside the weights, roughly; nothing is loaded for it."""
        about = describe(recipe.model, self._folders)
        device, _ = self._asked
        return estimate_bytes(recipe, about, choose_device(device))

    def run(
        self,
        recipe: Recipe,
        *,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
        preview: Callable[[Image], None] | None = None,
        plain: bool = False,
        drawn: Callable[[Result], None] | None = None,
    ) -> Result:
        """Draws the recipe's pictures.

        progress: told after every step.
        cancel:   asked after every step; True ends the run by `processors.Cancelled`.
        preview:  shown a rough picture every few steps, all pictures of a call side by side.
        plain:    also draw without controls, on the same noise.
        drawn:    given an edit's result before its plain pictures are drawn.

        ValueError for what the recipe cannot mean to its model; UnavailableError for what this
        machine cannot do.
        """
        with self._lock:
            self.warm(recipe.model)
            loading, self._loading = self._loading, 0.0
            about, pipe = self._about, self._pipe
            assert about is not None
            recipe = about.with_size(recipe)
            self._check_memory(recipe, about)
            if preview is not None and self._preview is None:
                self._preview = Preview.of(pipe)
            plain = plain and bool(recipe.controls)
            calls = 1 if recipe.is_edit else len(recipe.prompts)
            extra = (len(recipe.prompts) - recipe.is_edit) if plain else 0
            total = _steps(recipe) * (calls + extra)
            watch = Watch(total, recipe.steps, progress, cancel, preview, self._preview)
            peak, start = Peak(str(pipe.device)), perf_counter()
            drawing = draw(pipe, recipe, watch)
            timings = {"load": loading, "generate": perf_counter() - start}
            held = peak.held()
            result = replace(self._result(recipe, drawing, timings), peak_bytes=held)
            if not plain:
                return result
            if drawn is not None and recipe.is_edit:
                drawn(result)
            start = perf_counter()
            bare = draw_plain(pipe, recipe, watch)
            return _beside(result, bare, perf_counter() - start)

    def run_together(
        self,
        recipes: Sequence[Recipe],
        *,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> tuple[Result, ...]:
        """Draws recipes of one shape in common calls of the pipeline; see `draw_together`.

        Of the seconds each result has its part. Errors as of `run`.
        """
        with self._lock:
            self.warm(recipes[0].model)
            loading, self._loading = self._loading, 0.0
            about, count = self._about, len(recipes)
            assert about is not None
            recipes = [about.with_size(recipe) for recipe in recipes]
            self._check_memory(recipes[0], about, count)
            calls = 1 if recipes[0].is_edit else len(recipes[0].prompts)
            each = count if recipes[0].finer else 1  # `draw_together` then draws them singly
            watch = Watch(_steps(recipes[0]) * calls * each, recipes[0].steps, progress, cancel)
            start = perf_counter()
            drawings = draw_together(self._pipe, recipes, watch)
            spent = perf_counter() - start
            timings = {"load": loading / count, "generate": spent / count}
            return tuple(
                self._result(recipe, drawing, dict(timings))
                for recipe, drawing in zip(recipes, drawings, strict=True)
            )

    def _result(self, recipe: Recipe, drawing: Drawing, timings: dict[str, float]) -> Result:
        about, pipe, start = self._about, self._pipe, perf_counter()
        assert about is not None
        verdicts = _judge(drawing.images, recipe.prompts) if about.nouns else None
        receipts = _receipts(drawing, recipe, verdicts)
        said = (w for r in receipts for w in r.warnings)
        warnings = (*drawing.warnings, *warnings_of(pipe, recipe, about), *said)
        timings["judge"] = perf_counter() - start
        made = {
            "scheduler": drawing.scheduler,
            "device": str(pipe.device),
            "dtype": str(pipe.dtype).removeprefix("torch."),
        }
        if drawing.of > 1:
            made["drawn_together"] = str(drawing.of)
        return Result(
            recipe=recipe,
            images=drawing.images,
            maps=drawing.maps,
            receipts=receipts,
            verdicts=verdicts,
            warnings=tuple(dict.fromkeys(warnings)),
            timings={name: round(seconds, 3) for name, seconds in timings.items()},
            made=made,
        )

    def _check_memory(self, recipe: Recipe, about: Model, together: int = 1) -> None:
        device = str(self._pipe.device)
        needed, free = together * estimate_bytes(recipe, about, device), free_bytes(device)
        if free is not None and needed > free:
            raise OutOfMemoryError(
                f"memory: this run needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
                "free; choose a smaller size or fewer prompts in one edit"
            )


def _steps(recipe: Recipe) -> int:
    """Of one call of the pipeline and what its picture is drawn over with."""
    return recipe.steps + finer_steps(recipe.steps, recipe.finer)


_CHOOSE: tuple[Callable[[str], Any], ...] = (choose_device, choose_dtype)


def _judge(images: Sequence[Image], prompts: Sequence[str]) -> tuple[Verdict, ...]:
    from .emoji import expect, judge, score

    scenes = [judge(image) for image in images]
    return tuple(
        Verdict(scene, score(scene, expect(prompt)))
        for scene, prompt in zip(scenes, prompts, strict=True)
    )


def _receipts(
    drawing: Drawing, recipe: Recipe, verdicts: tuple[Verdict, ...] | None
) -> tuple[Receipt, ...]:
    if recipe.is_edit and drawing.run is not None:
        pixels = drawing.pixels(drawing.every or drawing.images)
        found = []
        for edit in range(1, len(recipe.prompts)):
            scenes = None if verdicts is None else (verdicts[0].scene, verdicts[edit].scene)
            inside = edit_region(recipe, edit, scenes)
            found.append(drawing.run.receipt(pixels, edit=edit, image=drawing.place, inside=inside))
        return tuple(found)
    return ()


def _beside(result: Result, plain: tuple[Image, ...], seconds: float) -> Result:
    """The result with its plain pictures; what has no receipt is held against them."""
    receipts, pixels = result.receipts, Drawing.pixels
    if not result.recipe.is_edit:
        pairs = zip(pixels(plain), pixels(result.images), strict=True)
        receipts = tuple(compare(bare, steered) for bare, steered in pairs)
    said = (warning for receipt in receipts for warning in receipt.warnings)
    return replace(
        result,
        plain=plain,
        receipts=receipts,
        warnings=tuple(dict.fromkeys((*result.warnings, *said))),
        timings={**result.timings, "plain": round(seconds, 3)},
    )


def _release() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
