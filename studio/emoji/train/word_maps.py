"""Whether the cross-attention maps of a Stable Diffusion lie on the things their words name.

Every control of attention stands on this. The map of token n at a site is
P[i, n] = softmax_n(q_i . k_n / sqrt(D)), the conditional row's, averaged over heads and steps
(Hertz et al. 2022, arXiv:2208.01626, section 3); the mean map averages the 16 x 16 sites too. It is
compared with the judge's mask of the word's thing in the finished picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from PIL.Image import Image, new
from torch import Tensor

from ...evaluate.draw import Progress, draw
from ...evaluate.heat import overlay
from ...evaluate.judging import Judge, the_judge
from ...evaluate.overlap import FRACTION, area_mask, cut, iou, mass, upsampled
from ...evaluate.prompt_words import Word, find_words
from ...evaluate.prompts import EVALUATION_SEEDS
from ...evaluate.word_report import WordMapReport, WordOverlap, summarise
from ...sheet import contact_sheet
from ..render import Scene

__all__ = ["MapRecorder", "Recorded", "measure_word_maps", "record_words"]

GRID = (16, 16)
MEAN = "mean"
_SHOWN = 24


@dataclass(eq=False)
class MapRecorder:
    """Records the cross-attention maps of the last `rows` rows of every call of a denoiser.

    Stock guidance puts the unconditional rows first, so the last ones are the conditional ones.
    Only hooks that look on: processors are not touched, and the pictures stay bit-identical.
    """

    unet: UNet2DConditionModel
    rows: int
    sums: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, tuple[int, int]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> MapRecorder:
        self._hooks = ExitStack()
        for name, module in self.unet.named_modules():
            if not isinstance(module, Transformer2DModel):
                continue
            for inner, attention in module.named_modules():
                if isinstance(attention, Attention) and attention.is_cross_attention:
                    self._watch(f"{name}.{inner}", module, attention)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.close()

    def maps(self) -> dict[str, Tensor]:
        """Site -> `[rows, h, w, T]`, the mean over heads and calls."""
        return {
            site: (total / self.calls[site]).unflatten(1, self.grids[site])
            for site, total in self.sums.items()
        }

    def _watch(self, site: str, transformer: Transformer2DModel, attention: Attention) -> None:
        extra = (attention.group_norm, attention.spatial_norm, attention.norm_cross)
        if any(part is not None and part is not False for part in extra):
            raise ValueError(f"pipe: {site} normalises its inputs; expected stock cross-attention")

        def see_grid(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
            latents = args[0] if args else kwargs["hidden_states"]
            self.grids[site] = (latents.shape[-2], latents.shape[-1])

        def see_call(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
            if kwargs.get("attention_mask") is not None:
                raise ValueError(f"pipe: {site} got an attention mask; expected none")
            hidden = args[0] if args else kwargs["hidden_states"]
            self._add(site, attention, hidden, kwargs["encoder_hidden_states"])

        for module, hook in ((transformer, see_grid), (attention, see_call)):
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
            self._hooks.callback(handle.remove)

    @torch.no_grad()
    def _add(self, site: str, attention: Attention, hidden: Tensor, text: Tensor) -> None:
        q = attention.to_q(hidden[-self.rows :]).float().unflatten(-1, (attention.heads, -1))
        k = attention.to_k(text[-self.rows :]).float().unflatten(-1, (attention.heads, -1))
        scores = torch.einsum("bnhd,bthd->bhnt", q, k) * attention.scale
        probs = scores.softmax(-1).mean(1).cpu()
        self.sums[site] = self.sums[site] + probs if site in self.sums else probs
        self.calls[site] = self.calls.get(site, 0) + 1


@dataclass(frozen=True, eq=False)
class Recorded:
    """A picture of which the judge found every thing.

    maps:  site -> `[h, w, T]`; "mean" is the mean of the 16 x 16 sites.
    masks: bool `[things, H, W]`, in the order of the prompt.
    """

    prompt: str
    words: tuple[Word, ...]
    picture: Image
    maps: Mapping[str, Tensor]
    masks: Tensor

    def overlaps(self, fraction: float) -> Iterator[WordOverlap]:
        """Each word at each site."""
        for site, maps in self.maps.items():
            grid = (maps.shape[0], maps.shape[1])
            size = (self.masks.shape[1], self.masks.shape[2])
            covered = [area_mask(mask, grid) for mask in self.masks]
            for word in self.words:
                heat = maps[..., word.token]
                high = cut(heat, fraction)
                other = 1 - word.thing if len(covered) == 2 else None
                yield WordOverlap(
                    site=site,
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
    words = [find_words(pipe.tokenizer, prompt) for prompt in prompts]
    seeds = np.random.default_rng(seed).integers(2**31, size=len(prompts)).tolist()
    look = judge or the_judge()
    for start in range(0, len(prompts), batch):
        part = slice(start, min(start + batch, len(prompts)))

        def shown(done: int, _: int, before: int = start) -> None:
            if progress is not None:
                progress(before * steps + done, len(prompts) * steps)

        with MapRecorder(pipe.unet, part.stop - start) as recorder:
            (pictures,) = draw(
                pipe,
                prompts[part],
                seeds[part],
                steps=steps,
                guidance=guidance,
                batch=batch,
                progress=shown,
            )
        sites = recorder.maps()
        mean = [maps for maps in sites.values() if maps.shape[1:3] == GRID]
        if not mean:
            grids = sorted({tuple(maps.shape[1:3]) for maps in sites.values()})
            raise ValueError(f"pipe: cross-attention at the grids {grids}; expected some at {GRID}")
        sites = {MEAN: torch.stack(mean).mean(0), **sites}
        for i, (picture, scene) in enumerate(zip(pictures, look(pictures), strict=True)):
            nouns = [word.text for word in words[start + i] if word.kind == "noun"]
            if set(nouns) <= set(scene.nouns):
                maps = {site: value[i] for site, value in sites.items()}
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
        figures = [overlap for overlap in item.overlaps(FRACTION) if overlap.site == MEAN]
        images.append(item.picture)
        captions.append(item.prompt)
        for word, figure in zip(item.words, figures, strict=True):
            heat = item.maps[MEAN][..., word.token].numpy()
            images.append(overlay(item.picture, heat, item.masks[word.thing].numpy()))
            captions.append(f"{word.text}: IoU {figure.iou:.2f}")
        gap = columns - 1 - len(item.words)
        images += [new("RGB", item.picture.size, "white")] * gap
        captions += [""] * gap
    return contact_sheet(images, captions, columns=columns)
