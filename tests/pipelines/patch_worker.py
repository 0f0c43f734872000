"""One of the processes of test_patches.py: draws with its band of rows and says what it held.

Then it runs the example with the arguments that are left: to start takes longer than to draw.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from attention_studio.pipelines.patches import shared_rows
from attention_studio.processors import Interval, LocalWindow
from tests.processors.joint_pipelines import JointStudio

__all__ = ["CASES"]

CASES: dict[str, tuple[LocalWindow, dict[str, Any]]] = {
    "narrow": (LocalWindow(2), {}),
    "narrower late": (LocalWindow(3, late=1), {}),
    "wider than a band": (LocalWindow(6.5), {"height": 36, "width": 48}),
    "dense first": (LocalWindow(3, during=Interval(0.5, 1)), {"guidance": 1.0}),
    "dense blocks, scaled": (
        LocalWindow(3, blocks=Interval(0.4, 1), scale="proportional", ntk=10, trained=4),
        {"images": 2},
    ),
    "everything": (LocalWindow(100), {}),
}
"""Name -> window, and how the pipeline is called."""


def main(out: Path) -> None:
    dist.init_process_group(  # by a file: torchrun's own place to meet is for the example
        "gloo",
        init_method=(out / "group").as_uri(),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    rank, studio, held = dist.get_rank(), JointStudio("flux"), dict[str, list[int]]()
    stock = studio()
    for name, (window, asked) in CASES.items():
        seen: set[int] = set()

        def count(_module: Any, _args: Any, kwargs: dict[str, Any], seen: set[int] = seen) -> None:
            seen.add(kwargs["hidden_states"].shape[1])

        hooks = [
            block.register_forward_pre_hook(count, with_kwargs=True)
            for block in studio.pipe.transformer.transformer_blocks
        ]
        with shared_rows(studio.pipe, window):
            found = studio(**asked)
        for hook in hooks:
            hook.remove()
        held[name] = sorted(seen)
        save_file({"latents": found.contiguous()}, out / f"{name}.{rank}.safetensors")
    said = []
    for window, asked in (
        (LocalWindow(2, pooled=2), {}),
        (LocalWindow(2), {"height": 4, "width": 32}),
    ):
        try:
            with shared_rows(studio.pipe, window):
                studio(**asked)
        except ValueError as error:
            said.append(str(error))
    again = bool(torch.equal(studio(), stock))
    facts = {"held": held, "said": said, "stock again": again}
    (out / f"{rank}.json").write_text(json.dumps(facts))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
