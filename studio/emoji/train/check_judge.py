"""How good the judge is: its answers against the truth of rendered scenes it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from ..judge import judge_many
from ..judge_net import SIZE_PX, JudgeNet
from ..render import Rendered, Scene, render
from ..sample import sample_plan
from .broken import BREAKS, break_thing
from .judge_data import ALL_NOUNS, through_autoencoder
from .pictures import to_model

__all__ = ["Figures", "check", "check_broken", "figures", "fresh_scenes", "measure"]

_SEED_WORD = 0xC4EC  # no training seed starts with it


@dataclass(frozen=True)
class Figures:
    """Rates over scenes.

    noun_f1:    things matched by noun and IoU > 0.5.
    mask_iou:   mean over the true things of the IoU with the best thing seen of the same noun;
                a missing thing counts 0.
    colour:     of matched things, the tint named exactly; pencil sketches, being grey, left out.
    background, style: of all pictures.
    """

    scenes: int
    noun_f1: float
    mask_iou: float
    colour: float
    background: float
    style: float


def fresh_scenes(count: int, seed: int = 0) -> list[Rendered]:
    """Scenes of all nouns, combinations and styles, from a range of seeds training never draws."""
    rng = np.random.default_rng((_SEED_WORD, seed))
    return [render(sample_plan(rng, nouns=ALL_NOUNS, held_out=None), SIZE_PX) for _ in range(count)]


def check(
    count: int = 1000,
    *,
    seed: int = 0,
    vae: AutoencoderKL | None = None,
    net: JudgeNet | None = None,
) -> Figures:
    """Judge `count` fresh scenes; with `vae` after a round trip through it."""
    drawn = fresh_scenes(count, seed)
    images = [rendered.image for rendered in drawn]
    if vae is not None:
        images = _round_trip(vae, images)
    return figures([rendered.scene for rendered in drawn], judge_many(images, net=net))


def check_broken(
    count: int = 100, *, seed: int = 0, net: JudgeNet | None = None
) -> dict[str, float]:
    """For each kind of break the part of `count` broken things that the judge calls absent.

    Absent: no thing is seen that has more than half of its pixels on the broken one.
    """
    rates = {}
    for number, kind in enumerate(BREAKS):
        rng = np.random.default_rng((_SEED_WORD, seed, number))
        cases = []
        for _ in range(count):
            plan = sample_plan(rng, nouns=ALL_NOUNS, held_out=None)
            cases.append(break_thing(plan, render(plan, SIZE_PX), rng, kind))
        seen = judge_many([case.image for case in cases], net=net)
        absent = [
            not any((mask & case.broken).sum() > 0.5 * mask.sum() for mask in scene.masks)
            for case, scene in zip(cases, seen, strict=True)
        ]
        rates[kind] = round(float(np.mean(absent)), 4)
    return rates


def figures(truth: Sequence[Scene], seen: Sequence[Scene]) -> Figures:
    """The figures of what was seen in scenes whose truth is known."""
    matched = true_things = seen_things = 0
    ious: list[float] = []
    colours: list[bool] = []
    for true, saw in zip(truth, seen, strict=True):
        best = [_best(true, saw, i) for i in range(len(true.nouns))]
        ious += [iou for _, iou in best]
        hits = {at: i for i, (at, iou) in enumerate(best) if iou > 0.5}
        matched += len(hits)
        true_things += len(true.nouns)
        seen_things += len(saw.nouns)
        if true.style != "pencil sketch":
            colours += [saw.colours[at] == true.colours[i] for at, i in hits.items()]
    pairs = list(zip(truth, seen, strict=True))
    return Figures(
        scenes=len(truth),
        noun_f1=_rate(2 * matched, true_things + seen_things),
        mask_iou=_rate(sum(ious), true_things),
        colour=_rate(sum(colours), len(colours)),
        background=_rate(sum(a.background == b.background for a, b in pairs), len(pairs)),
        style=_rate(sum(a.style == b.style for a, b in pairs), len(pairs)),
    )


def _best(true: Scene, saw: Scene, i: int) -> tuple[int, float]:
    """The thing seen of the same noun that overlaps true thing `i` most, and how much."""
    ious = {
        at: _iou(true.masks[i], saw.masks[at])
        for at, noun in enumerate(saw.nouns)
        if noun == true.nouns[i]
    }
    at = max(ious, key=lambda key: ious[key], default=-1)
    return at, ious.get(at, 0.0)


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _rate(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def _round_trip(vae: AutoencoderKL, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    decoded = through_autoencoder(vae, to_model(images))
    pixels = ((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return list(pixels)


def measure(
    vae: AutoencoderKL, *, scenes: int = 1000, broken: int = 100, net: JudgeNet | None = None
) -> dict[str, object]:
    """All figures of a judge's card: as rendered, after the autoencoder, broken things."""
    table: dict[str, object] = {"scenes": scenes}
    for prefix, through in (("", None), ("after the autoencoder, ", vae)):
        found = check(scenes, vae=through, net=net)
        table |= {
            f"{prefix}noun F1": found.noun_f1,
            f"{prefix}mask IoU": found.mask_iou,
            f"{prefix}colour": found.colour,
            f"{prefix}background": found.background,
            f"{prefix}style": found.style,
        }
    rates = check_broken(broken, net=net)
    table |= {f"broken things called absent, {kind}": rate for kind, rate in rates.items()}
    return table | {"broken things called absent": round(float(np.mean(list(rates.values()))), 4)}
