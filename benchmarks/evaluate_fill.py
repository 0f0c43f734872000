"""Does emoji-flux-fill put what is asked for into a hole, and leave the rest?

    python benchmarks/evaluate_fill.py --prompts 100 --out out/evaluate-fill

A rendered scene of two things; a hole of a quarter more than the box of one; the scene's caption.
Beside it, diffusers' `FluxInpaintPipeline` with `emoji-flux`, which has learned no holes: noise all
over at first, and what lies outside is put back at every step. Both have the same noise. Wilson's
95 % interval; *outside* is the distance to the rendered scene there, in dB, and that of the scene
after the autoencoder, which is the best that either can do. `--out` gets table.md and a sheet.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxInpaintPipeline
from numpy.typing import NDArray
from PIL import Image

from attention_studio import load
from attention_studio.bench.stamp import stamp
from attention_studio.emoji import judge_many
from attention_studio.emoji.plan import Plan
from attention_studio.emoji.render import Scene, render
from attention_studio.emoji.sample import sample_plan
from attention_studio.emoji.score import wears
from attention_studio.emoji.words import NOUNS
from attention_studio.evaluate.prompts import EVALUATION_SEEDS, TUNING_SEEDS
from attention_studio.evaluate.rates import rate_of
from attention_studio.pipelines.calls import length_arguments
from attention_studio.sheet import contact_sheet

MORE = 0.125  # of the thing's side, on each of the hole's


@dataclass(frozen=True)
class Case:
    """The scene, the thing that is asked for, and the hole `[H, W]` it is to be drawn in."""

    plan: Plan
    which: int
    hole: NDArray[np.bool_]
    picture: Image.Image

    @property
    def mask(self) -> Image.Image:
        return Image.fromarray(np.where(self.hole, 255, 0).astype(np.uint8))


def cases(count: int, seed: int) -> list[Case]:
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        plan = sample_plan(rng, nouns=NOUNS, count=2, style=None, held_out=None)
        image = render(plan, 128).image
        left, top, right, bottom = plan.things[number % 2].box
        more = MORE * (right - left)
        rows, columns = (
            slice(max(round(128 * (a - more)), 0), round(128 * (b + more)))
            for a, b in ((top, bottom), (left, right))
        )
        hole = np.zeros((128, 128), bool)
        hole[rows, columns] = True
        made.append(Case(plan, number % 2, hole, Image.fromarray(image)))
    return made


def there(case: Case, scene: Scene, which: int, *, inside: bool) -> tuple[bool, bool | None]:
    """Whether the thing is on that side of the hole's edge, and in the colour that was said."""
    thing = case.plan.things[which]
    for noun, colour, mask in zip(scene.nouns, scene.colours, scene.masks, strict=True):
        if noun == thing.noun and ((mask & case.hole).sum() > mask.sum() / 2) == inside:
            return True, None if thing.colour is None else wears(noun, colour, thing.colour)
    return False, None if thing.colour is None else False


def outside(case: Case, image: Image.Image) -> float:
    off = np.asarray(image, np.float64)[~case.hole] - np.asarray(case.picture)[~case.hole]
    return float(10 * np.log10(255**2 / (off**2).mean()))


def drawn(pipe: Any, case: Case, steps: int, number: int) -> Image.Image:
    stock = isinstance(pipe, FluxInpaintPipeline)
    own = {"strength": 1.0, "negative_prompt": "", "true_cfg_scale": 5.0} if stock else {}
    image: Image.Image = pipe(
        prompt=case.plan.caption,
        image=case.picture,
        mask_image=case.mask,
        height=128,
        width=128,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(number),
        **length_arguments(pipe),
        **own,
    ).images[0]
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    asked = cases(args.prompts, (TUNING_SEEDS if args.tuning else EVALUATION_SEEDS) + args.seed)
    fill, base = load("emoji-flux-fill"), load("emoji-flux")
    stock = FluxInpaintPipeline(**base.components)
    stock.set_progress_bar_config(disable=True)
    ways = {"emoji-flux-fill": fill, "emoji-flux, FluxInpaintPipeline": stock}
    commit = stamp(torch.device("cpu"))["commit"]
    lines = [
        f"{args.prompts} scenes, {args.steps} steps, commit {commit}",
        "",
        "| | asked for, in the hole | its colour, if said | the other one, outside | its colour "
        "| outside, dB |",
        "|---|---|---|---|---|---|",
    ]
    sheet: dict[str, list[Image.Image]] = {"scene": [case.picture for case in asked]}
    for name, pipe in ways.items():
        images = [drawn(pipe, case, args.steps, i) for i, case in enumerate(asked)]
        scenes = judge_many(images)
        answers = [
            (*there(c, s, c.which, inside=True), *there(c, s, 1 - c.which, inside=False))
            for c, s in zip(asked, scenes, strict=True)
        ]
        rates = [rate_of(column).text() for column in zip(*answers, strict=True)]
        quiet = np.median([outside(c, i) for c, i in zip(asked, images, strict=True)])
        lines.append(f"| {name} | {' | '.join(rates)} | {quiet:.1f} |")
        sheet[name] = images
    best = np.median([outside(case, through(base, case.picture)) for case in asked])
    lines.append(f"| the scene after the autoencoder | | | | | {best:.1f} |")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    shown = range(min(10, len(asked)))
    holed = [
        Image.composite(Image.new("RGB", (128, 128), "grey"), c.picture, c.mask) for c in asked
    ]
    rows = {"given": holed, **sheet}
    contact_sheet(
        [images[i] for images in rows.values() for i in shown],
        [name if name != "given" else asked[i].plan.caption for name in rows for i in shown],
        [""] * (len(rows) * len(shown)),
        columns=len(shown),
    ).save(args.out / "sheet.png")
    print("\n".join(lines))


@torch.no_grad()
def through(base: Any, picture: Image.Image) -> Image.Image:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    back = base.vae.decode(base.vae.encode(pixels).latent_dist.mode()).sample[0]
    return Image.fromarray(
        ((back.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    )


if __name__ == "__main__":
    main()
