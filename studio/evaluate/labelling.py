"""Sheets for people who label pictures before they see what the judge says.

A person gets numbered pictures without prompt and verdict, in random order, writes the nouns into
`labels.jsonl`, and only then opens `answers.jsonl`. `agreement` compares the two.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from ..sheet import contact_sheet
from .draw import Pipeline, Progress, draw
from .judging import Judge, the_judge
from .prompts import LABELLING_SEEDS, draw_prompts

__all__ = ["Agreement", "agreement", "make_sheets", "read_nouns"]

_A_SHEET = 20

Nouns = Mapping[int, Sequence[str]]
"""Picture number -> the nouns of the whole, recognisable things in it, one a thing."""


@dataclass(frozen=True)
class Agreement:
    """How well the judge's nouns and a person's agree; see `agreement`."""

    pictures: int
    f1: float
    overlap: float
    exact: float


def make_sheets(
    pipe: Pipeline,
    folder: Path,
    *,
    nouns: Sequence[str],
    count: int = 120,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    batch: int = 8,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Draw `count` pictures and write everything a person needs; returns the sheets.

    `sheet-01.png` …: 20 numbered pictures each, enlarged without blurring; `labels.jsonl`: a line
    a picture, `nouns` null until it is filled in with a list ([] = nothing recognisable);
    `answers.jsonl`: prompts and the judge's nouns, not to be opened before.
    """
    asked = draw_prompts(LABELLING_SEEDS + seed, nouns, count)
    order = np.random.default_rng((LABELLING_SEEDS + seed, 1)).permutation(count)
    asked = tuple(asked[i] for i in order)
    parts = draw(
        pipe,
        [item.prompt for item in asked],
        [item.latent_seed for item in asked],
        steps=steps,
        guidance=guidance,
        batch=batch,
        progress=progress,
    )
    images: list[Image] = [image for part in parts for image in part]
    scenes = (judge or the_judge())(images)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "labels.jsonl", [{"id": i + 1, "nouns": None} for i in range(count)])
    _write(
        folder / "answers.jsonl",
        [
            {"id": i + 1, "nouns": list(scene.nouns), "prompt": item.prompt}
            for i, (item, scene) in enumerate(zip(asked, scenes, strict=True))
        ],
    )
    sheets = []
    for first in range(0, count, _A_SHEET):
        shown = images[first : first + _A_SHEET]
        numbers = [str(first + i + 1) for i in range(len(shown))]
        sheets.append(folder / f"sheet-{first // _A_SHEET + 1:02d}.png")
        contact_sheet(shown, numbers).save(sheets[-1])
    return tuple(sheets)


def read_nouns(file: Path) -> dict[int, tuple[str, ...]]:
    """`labels.jsonl` or `answers.jsonl`, complete."""
    nouns: dict[int, tuple[str, ...]] = {}
    for line in filter(None, file.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if not isinstance(row["nouns"], list):
            raise ValueError(
                f"file: picture {row['id']} in {file.name} has {row['nouns']!r}; "
                "expected a list of nouns, empty when there is nothing to recognise"
            )
        nouns[int(row["id"])] = tuple(row["nouns"])
    return nouns


def agreement(labels: Nouns, answers: Nouns) -> Agreement:
    """Compare a person's nouns L_i with the judge's J_i, as multisets, over the pictures i.

    f1      = 2 sum_i |L_i & J_i| / sum_i (|L_i| + |J_i|), over all things of all pictures
    overlap = mean_i |L_i & J_i| / |L_i + J_i|, the union taking the larger count of each noun;
              1 for a picture in which neither sees anything
    exact   = share of pictures with L_i = J_i
    """
    if not labels or set(labels) != set(answers):
        raise ValueError(
            f"labels: {len(labels)} pictures came for {len(answers)} answers; "
            "expected the same pictures, at least one"
        )
    pairs = [(Counter(labels[i]), Counter(answers[i])) for i in labels]
    common = [(one & other).total() for one, other in pairs]
    union = [(one | other).total() for one, other in pairs]
    both = sum(one.total() + other.total() for one, other in pairs)
    shares = [c / u if u else 1.0 for c, u in zip(common, union, strict=True)]
    return Agreement(
        pictures=len(pairs),
        f1=2 * sum(common) / both if both else 1.0,
        overlap=sum(shares) / len(pairs),
        exact=sum(one == other for one, other in pairs) / len(pairs),
    )


def _write(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
