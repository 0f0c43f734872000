"""One picture drawn by several processes, each with a band of its rows.

torchrun --nproc-per-node 2 examples/patches.py --model DIR --prompt "a cat on grass" --radius 8
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from attention_studio.pipelines import load
from attention_studio.pipelines.patches import shared_rows
from attention_studio.processors import LocalWindow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a FLUX pipeline")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--radius", type=float, default=8.0, help="of the window, in tokens")
    parser.add_argument(
        "--side", type=int, default=None, help="pixels; the model's own if not given"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--text-tokens", type=int, default=None, help="the model's own if not given"
    )
    parser.add_argument("--out", type=Path, default=Path("patches.png"))
    asked = parser.parse_args()

    gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo")
    place = f"cuda:{dist.get_rank() % torch.cuda.device_count()}" if gpu else "cpu"
    pipe: Any = load(asked.model, device=place)
    longest = min(512, pipe.tokenizer_2.model_max_length)
    with shared_rows(pipe, LocalWindow(asked.radius)):
        image = pipe(
            asked.prompt,
            height=asked.side,
            width=asked.side,
            num_inference_steps=asked.steps,
            max_sequence_length=asked.text_tokens or longest,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
        ).images[0]
    if dist.get_rank() == 0:
        image.save(asked.out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
