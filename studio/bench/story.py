"""What a scene's self-attention costs when it reads portraits: by label, under a mask, or stock.

One row of random q, k, v on an SDXL grid, S subjects side by side, each with a portrait that has it
in the same part. `python -m attention_studio.bench.story` prints one line a way:

    stock     the scene looks at itself alone
    by label  isolation and reposition as the engine runs them
    masked    the same pairs as a mask of N x (S + 1) N over all keys, in one fused call
    scores    the same with all scores formed, which is what the released code does

Nothing is timed before "by label" and "masked" agree with "scores" to 1e-4, in half precision to
1e-2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..processors.call import Batch, Call, Kind, Role, Row, Segments, Site, Stage, Step
from ..processors.control import Control, Prompts
from ..processors.controls import IsolateSubjects, RepositionSubjects, Subject
from ..processors.controls.subjects import held, label_map
from ..processors.plan import Plans
from ..processors.sighted import attend_by_label
from ..processors.tensors import Given
from .clock import take_turns
from .memory import extra_bytes

__all__ = ["StoryRow", "measure_story"]

CPU = torch.device("cpu")
LIMITS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}


@dataclass(frozen=True)
class StoryRow:
    """One way; bytes None where nothing can tell."""

    way: str
    subjects: int
    side: int
    milliseconds: float
    extra_bytes: int | None


def measure_story(
    subjects: int,
    *,
    side: int = 64,
    heads: int = 10,
    repetitions: int = 11,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> list[StoryRow]:
    """Medians of calls that take turns; the scene's row alone. RuntimeError when ways differ."""
    ways = _ways(subjects, side, heads, device, dtype)
    outputs = {name: call() for name, call in ways.items()}
    for name in ("by label", "masked"):
        error = float((outputs[name] - outputs["scores"]).abs().max())
        if not error < LIMITS[dtype]:
            raise RuntimeError(f"{name} differs from the scores' output by {error}")
    times = take_turns(list(ways.values()), repetitions=repetitions, device=device)
    return [
        StoryRow(name, subjects, side, median(of), extra_bytes(call, device))
        for (name, call), of in zip(ways.items(), times, strict=True)
    ]


def _ways(
    subjects: int, side: int, heads: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Callable[[], Tensor]]:
    count, size = subjects + 1, side * side
    draw = torch.Generator().manual_seed(0)
    shape = count, heads, size, 64
    q, k, v = (torch.randn(shape, generator=draw).to(device, dtype) for _ in range(3))
    cast, masks = [], []
    for i in range(subjects):
        left = (i + 0.1) / subjects
        box = (left, 0.1, left + 0.8 / subjects, 0.9)
        cast.append(Subject(str(i), box, i, box))
        masks.append(held(box, (side, side), str(i)))
    controls, call = _bound(tuple(cast), count), _call(q, k, v, side)
    row, plans = count - 1, Plans()
    of = label_map(masks, "drop").flatten().to(device)
    own = ~((of[:, None] > 0) & (of > 0) & (of[:, None] != of))
    theirs = [(of[:, None] == i + 1) & (of == i + 1) for i in range(subjects)]
    keys = torch.cat([k[row], *k[:subjects]], 1)[None]
    values = torch.cat([v[row], *v[:subjects]], 1)[None]
    scene = q[row:]

    def by_label() -> Tensor:
        groups = plans.seen(call, controls)[row]
        return attend_by_label(call, row, row, groups, call.looks(range(count)), None)[0]

    def masked() -> Tensor:
        mask = torch.cat([own, *theirs], 1)
        return F.scaled_dot_product_attention(scene, keys, values, attn_mask=mask)

    def scores() -> Tensor:
        mask = torch.cat([own, *theirs], 1)
        found = (scene @ keys.mT * 64**-0.5).masked_fill_(~mask, -torch.inf)
        return found.softmax(-1) @ values

    return {
        "stock": lambda: F.scaled_dot_product_attention(scene, k[row:], v[row:]),
        "by label": by_label,
        "masked": masked,
        "scores": scores,
    }


def _bound(cast: tuple[Subject, ...], count: int) -> list[Control]:
    prompts = Prompts(tuple(map(str, range(count))), count, 1, ())
    made: tuple[Control, ...] = (IsolateSubjects(cast), RepositionSubjects(cast, dropout=0.0))
    return [bound for control in made if (bound := control.bind(prompts)) is not None]


def _call(q: Tensor, k: Tensor, v: Tensor, side: int) -> Call:
    site = Site("bench", "unet", Kind.SELF, Stage.UP, 0, 0, side, has_text=False, maps=False)
    image = Segments(image=slice(0, side * side), grid=(side, side))
    batch = Batch(tuple(Row(prompt, 0, Role.COND) for prompt in range(len(q))))
    return Call(Given(q, k, v), site, Step(0, 0, 1, 1.0), batch, image, image)


def _main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--subjects", type=int, nargs="+", default=[2, 4])
    asked.add_argument("--side", type=int, default=64, help="tokens a side")
    asked.add_argument("--heads", type=int, default=10)
    asked.add_argument("--repetitions", type=int, default=11)
    asked.add_argument("--device", type=torch.device, default=CPU)
    asked.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    given = asked.parse_args()
    print("way,subjects,side,milliseconds,extra_bytes")
    for subjects in given.subjects:
        for row in measure_story(
            subjects,
            side=given.side,
            heads=given.heads,
            repetitions=given.repetitions,
            device=given.device,
            dtype=getattr(torch, given.dtype),
        ):
            print(
                f"{row.way},{row.subjects},{row.side},{row.milliseconds:.4g},{row.extra_bytes}",
                flush=True,
            )


if __name__ == "__main__":
    _main()
