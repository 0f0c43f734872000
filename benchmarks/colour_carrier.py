"""Which words' states carry a colour of emoji-sd: why weighing the colour's word does little.

    python benchmarks/colour_carrier.py [--prompts 12] [--steps 20]

A prompt of one coloured thing, from the tuning range, and the same with another colour: the states
of some tokens come from the second, all others from the first, and the judge says which colour the
thing wears. Prints one row for each choice of tokens.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import torch
from torch import Tensor

from attention_studio import load
from attention_studio.emoji.judge import judge_many
from attention_studio.emoji.words import COLOURS, CORE_NOUNS
from attention_studio.evaluate.edits import draw_weighed
from attention_studio.evaluate.prompts import EDIT_TUNING_SEEDS

CHOICES = ("none", "the colour", "the thing", "all after the thing", "the colour and the thing")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    pipe = load("emoji-sd")
    pipe.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(3)
    worn = {choice: Counter[str]() for choice in CHOICES}

    @torch.inference_mode()
    def states(prompt: str) -> tuple[Tensor, list[int]]:
        ids = pipe.tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids
        return pipe.text_encoder(ids)[0][0], ids[0].tolist()

    empty, _ = states("")
    for item in draw_weighed(EDIT_TUNING_SEEDS, CORE_NOUNS, asked.prompts):
        other = str(rng.choice([colour for colour in COLOURS if colour != item.colour]))
        prompt = item.prompt.replace("an ", "a ")
        (one, ids), (two, changed) = states(prompt), states(prompt.replace(item.colour, other))
        (at,) = (i for i, (a, b) in enumerate(zip(ids, changed, strict=True)) if a != b)
        tokens = ([], [at], [at + 1], range(at + 2, len(ids)), [at, at + 1])
        mixed = []
        for choice in tokens:
            mixed.append(one.clone())
            mixed[-1][list(choice)] = two[list(choice)]
        images = pipe(
            prompt_embeds=torch.stack(mixed),
            negative_prompt_embeds=empty.expand(len(mixed), -1, -1),
            num_inference_steps=asked.steps,
            guidance_scale=5.0,
            generator=[torch.Generator().manual_seed(item.latent_seed) for _ in mixed],
        ).images
        for name, scene in zip(CHOICES, judge_many(images), strict=True):
            seen = dict(zip(scene.nouns, scene.colours, strict=True))
            kinds = {item.colour: "the first", other: "the second"}
            found = kinds.get(str(seen[item.noun]), "another") if item.noun in seen else "not there"
            worn[name][found] += 1
    for name, counts in worn.items():
        print(f"{name:26}", ", ".join(f"{kind} {n}" for kind, n in counts.most_common()))


if __name__ == "__main__":
    main()
