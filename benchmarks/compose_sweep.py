"""Settings of A-STAR against each other, on the tuning range of `evaluate compose`.

    python benchmarks/compose_sweep.py --out out/compose-sweep

Every variant draws the same prompts from the same noise. *Mends*: pictures with all things where
the base lacks one; *breaks*: the other way round. Seconds are of the process. What is there already
in `--out` is not drawn again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from attention_studio import Recipe, Session
from attention_studio.emoji.expect import expect
from attention_studio.emoji.score import score
from attention_studio.evaluate.compose_prompts import (
    COMPOSE_TUNING_SEEDS,
    GROUPS,
    Composed,
    draw_composed,
)
from attention_studio.evaluate.judging import the_judge
from attention_studio.models import describe

SEPARATE: Mapping[str, Any] = {"control": "segregate"}
VARIANTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "base": (),
    "segregation alone": (SEPARATE,),
    "both (`a-star`)": (SEPARATE, {"control": "retain"}),
    "retention weighs 0.25": (SEPARATE, {"control": "retain", "weight": 0.25}),
    "the same, moves in the first half": (
        {**SEPARATE, "during": (0.0, 0.5)},
        {"control": "retain", "weight": 0.25, "during": (0.0, 0.5)},
    ),
    "retention weighs 0.5, from 20 % to 50 %": (
        SEPARATE,
        {"control": "retain", "weight": 0.5, "during": (0.2, 0.5)},
    ),
}
STEPS = 15


def main() -> None:
    """Draws, judges and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("out/compose-sweep"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    nouns = describe(asked.model).nouns
    prompts = draw_composed(COMPOSE_TUNING_SEEDS + asked.seed, nouns, asked.prompts)
    asked.out.mkdir(parents=True, exist_ok=True)
    session = Session(asked.model)
    print("| variant | " + " | ".join(f"missing, {g}" for g in GROUPS) + " | mends | breaks | s |")
    print("|" + "---|" * (len(GROUPS) + 4))
    base: list[bool] = []
    for name, controls in VARIANTS.items():
        rows = [_row(session, asked, name, controls, i, one) for i, one in enumerate(prompts)]
        lacks = [row["missing"] > 0 for row in rows]
        base = base or lacks
        cells = [name]
        for group in GROUPS:
            of = [lack for lack, one in zip(lacks, prompts, strict=True) if one.group == group]
            cells.append(f"{sum(of)} of {len(of)}")
        pairs = list(zip(base, lacks, strict=True))
        cells += [
            f"{pairs.count((True, False))} of {sum(base)}",
            f"{pairs.count((False, True))} of {len(base) - sum(base)}",
            f"{sum(row['seconds'] for row in rows) / len(rows):.2f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def _row(
    session: Session,
    asked: argparse.Namespace,
    name: str,
    controls: tuple[Mapping[str, Any], ...],
    i: int,
    one: Composed,
) -> dict[str, float]:
    """How many things are missing in a picture, and the seconds it took; kept as JSON."""
    file: Path = asked.out / f"{i + 1:04d}-{list(VARIANTS).index(name)}.json"
    if file.is_file():
        found: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
        return found
    recipe = Recipe.model_validate(
        {
            "model": asked.model,
            "prompts": (one.prompt,),
            "seed": one.latent_seed,
            "steps": STEPS,
            "controls": tuple({**control, "concepts": one.nouns} for control in controls),
        }
    )
    since = time.process_time()
    image = session.run(recipe).images[0]
    seconds = time.process_time() - since
    things = score(the_judge()([image])[0], expect(one.prompt)).things
    found = {"missing": sum(not thing.found for thing in things), "seconds": seconds}
    file.write_text(json.dumps(found), encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
