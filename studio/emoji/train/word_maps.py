"""Whether the cross-attention maps of a Stable Diffusion lie on the things their words name.

Every control of attention stands on this. The maps are those that `RecordMaps` reads, the mean over
heads, steps and the sites of a grid; each is compared with the judge's mask of the word's thing in
the finished picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL.Image import Image, new
from torch import Tensor

from ...evaluate.draw import Progress, draw
from ...evaluate.heat import overlay
from ...evaluate.judging import Judge, the_judge
from ...evaluate.overlap import FRACTION, area_mask, cut, iou, mass, upsampled
from ...evaluate.prompt_words import ThingWord, thing_words
from ...evaluate.prompts import EVALUATION_SEEDS
from ...evaluate.word_report import WordMapReport, WordOverlap, summarise
from ...processors import RecordMaps
from ...processors.attach import attach
from ...processors.call import Grid
from ...processors.families import family_of
from ...processors.prompts import tokenize
from ...processors.recorder import Columns, Word
from ...sheet import contact_sheet
from ..render import Scene

__all__ = ["Recorded", "measure_word_maps", "record_words"]

GRID = (16, 16)
_SHOWN = 24


@dataclass(frozen=True, eq=False)
class Recorded:
    """A picture of which the judge found every thing.

    maps:  grid -> `[h, w, W]`, a map for each word.
    masks: bool `[things, H, W]`, in the order of the prompt.
    """

    prompt: str
    words: tuple[ThingWord, ...]
    picture: Image
    maps: Mapping[Grid, Tensor]
    masks: Tensor

    def overlaps(self, fraction: float) -> Iterator[WordOverlap]:
        """Each word on each grid."""
        for grid, maps in self.maps.items():
            size = (self.masks.shape[1], self.masks.shape[2])
            covered = [area_mask(mask, grid) for mask in self.masks]
            for word, heat in zip(self.words, maps.unbind(-1), strict=True):
                high = cut(heat, fraction)
                other = 1 - word.thing if len(covered) == 2 else None
                yield WordOverlap(
                    grid=grid,
                    kind=word.kind,
                    iou=iou(high, covered[word.thing]),
                    iou_image=iou(
                        cut(upsampled(heat, size), fraction), self.masks[word.thing].float()
                    ),
                    mass=mass(heat, covered[word.thing]),
                    other_iou=None if other is None else iou(high, covered[other]),
                    other_mass=None if other is None else mass(heat, covered[other]),
                )


def measure_word_maps(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = EVALUATION_SEEDS,
    batch: int = 8,
    folder: Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> WordMapReport:
    """Draw the prompts, record the maps of nouns and colours, compare them with the judge's masks.

    seed:   of the latents' seeds.
    folder: where `words.png` (the first pictures with their maps) and the report go, if anywhere.
    """
    recorded = list(
        record_words(
            pipe,
            prompts,
            steps=steps,
            guidance=guidance,
            seed=seed,
            batch=batch,
            judge=judge,
            progress=progress,
        )
    )
    report = WordMapReport(
        pictures=len(recorded),
        left_out=len(prompts) - len(recorded),
        steps=steps,
        guidance=guidance,
        fraction=FRACTION,
        figures=tuple(summarise(o for item in recorded for o in item.overlaps(FRACTION))),
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "words.md").write_text(report.table(), encoding="utf-8")
        (folder / "words.json").write_text(report.to_json() + "\n", encoding="utf-8")
        if recorded:
            _sheet(recorded[:_SHOWN]).save(folder / "words.png")
    return report


def record_words(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    steps: int,
    guidance: float,
    seed: int,
    batch: int,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Iterator[Recorded]:
    """Draw the prompts and yield those pictures of which the judge finds every thing."""
    blocks = family_of(pipe).blocks(pipe, pipe.tokenizer.model_max_length)
    words = [thing_words(tokenize(prompt, blocks)) for prompt in prompts]
    seeds = np.random.default_rng(seed).integers(2**31, size=len(prompts)).tolist()
    look = judge or the_judge()
    for start in range(0, len(prompts), batch):
        part = slice(start, min(start + batch, len(prompts)))

        def shown(done: int, _: int, before: int = start) -> None:
            if progress is not None:
                progress(before * steps + done, len(prompts) * steps)

        wanted = [
            Word(i, word.name, word.tokens)
            for i, of_prompt in enumerate(words[part])
            for word in of_prompt
        ]
        reader = RecordMaps(every_grid=True, columns=Columns(tuple(wanted)))
        with attach(pipe, [reader]) as run:
            (pictures,) = draw(
                pipe,
                prompts[part],
                seeds[part],
                steps=steps,
                guidance=guidance,
                batch=batch,
                progress=shown,
            )
        found = run.maps
        if GRID not in found.grids:
            raise ValueError(f"pipe: cross-attention at the grids {found.grids}; expected {GRID}")
        for i, (picture, scene) in enumerate(zip(pictures, look(pictures), strict=True)):
            nouns = [word.text for word in words[start + i] if word.kind == "noun"]
            if set(nouns) <= set(scene.nouns):
                maps = {
                    grid: torch.stack(
                        [found.get(word.name, prompt=i, grid=grid) for word in words[start + i]], -1
                    )
                    for grid in found.grids
                }
                masks = _masks(scene, nouns)
                yield Recorded(prompts[start + i], words[start + i], picture, maps, masks)


def _masks(scene: Scene, nouns: Sequence[str]) -> Tensor:
    """Bool `[nouns, H, W]`; a noun that is there twice has both."""
    masks = [scene.masks[[name == noun for name in scene.nouns]].any(0) for noun in nouns]
    return torch.from_numpy(np.stack(masks))


def _sheet(recorded: Sequence[Recorded]) -> Image:
    """A row a picture: itself, then the mean map of each word with the outline of its thing."""
    columns = 1 + max(len(item.words) for item in recorded)
    images: list[Image] = []
    captions: list[str] = []
    for item in recorded:
        figures = [overlap for overlap in item.overlaps(FRACTION) if overlap.grid == GRID]
        images.append(item.picture)
        captions.append(item.prompt)
        for i, (word, figure) in enumerate(zip(item.words, figures, strict=True)):
            heat = item.maps[GRID][..., i].cpu().numpy()
            images.append(overlay(item.picture, heat, item.masks[word.thing].numpy()))
            captions.append(f"{word.text}: IoU {figure.iou:.2f}")
        gap = columns - 1 - len(item.words)
        images += [new("RGB", item.picture.size, "white")] * gap
        captions += [""] * gap
    return contact_sheet(images, captions, columns=columns)
