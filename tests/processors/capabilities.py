"""Which controls go together, found out by running every pair.

`python -m tests.processors.capabilities > docs/capabilities.md` writes the page; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import torch

from attention_studio.processors import (
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    SchedulePrompt,
)
from attention_studio.processors.attach import attach

from .conftest import PROMPTS, Studio
from .joint_pipelines import JointStudio

__all__ = ["CONTROLS", "FAMILIES", "page", "verdict"]

FAMILIES: dict[str, Callable[[], Studio | JointStudio]] = {
    "SD 1.x, 2.x": lambda: Studio("sd"),
    "SDXL": lambda: Studio("sdxl"),
    "SD 3, SD 3.5": lambda: JointStudio("sd3-dual"),
    "FLUX.1": lambda: JointStudio("flux"),
    "Qwen-Image": lambda: JointStudio("qwen"),
}
CONTROLS: dict[str, Callable[[Interval], Control]] = {
    "replace_words": ReplaceWords,
    "refine_words": RefineWords,
    "reweight_words": lambda during: ReweightWords({"tiger": 3.0}, during),
    "keep_layout": KeepLayout,
    "local_blend": lambda during: LocalBlend(("cat", "tiger"), threshold=0.9, during=during),
    "record_maps": lambda during: RecordMaps(("grass",), during=during),
    "schedule_prompt": lambda during: SchedulePrompt(((), ((1 - during.end, "a lion on sand"),))),
}
_ALWAYS, _NEVER = Interval(0.0, 1.0), Interval(0.0, 0.0)


def verdict(studio: Studio | JointStudio, first: str, second: str, base: torch.Tensor) -> str:
    """ "yes" when the pair runs and keeps the laws, else the sentence with which it is refused."""
    pair = [CONTROLS[name](_ALWAYS) for name in (first, second)]
    try:
        with attach(studio.pipe, pair):
            out = studio()
    except ValueError as refusal:
        return str(refusal)
    assert torch.equal(out[0], base[0]), f"{first} and {second} changed the source"
    assert bool(out.isfinite().all())
    with attach(studio.pipe, [CONTROLS[name](_NEVER) for name in (first, second)]):
        assert torch.equal(studio(), base), f"{first} and {second} act when they shall not"
    assert torch.equal(studio(), base), f"{first} and {second} left a trace"
    return "yes"


def page() -> str:
    """The whole matrix as Markdown."""
    lines = [
        "# What goes together",
        "",
        "Written by `python -m tests.processors.capabilities > docs/capabilities.md`, which runs",
        "every pair on a tiny random pipeline. Yes means: the source's picture keeps the bits of a",
        "stock run, and so do all pictures while both controls are switched off and after they",
        "are gone. Anything else is the sentence of the refusal. Of two controls that both edit",
        "maps, the later one in the list sees what the earlier one left.",
    ]
    names = list(CONTROLS)
    for family, make in FAMILIES.items():
        studio = make()
        base = studio(PROMPTS)
        found = {
            pair: verdict(studio, *pair, base) for pair in combinations_with_replacement(names, 2)
        }
        lines += [
            "",
            f"## {family}",
            "",
            f"| | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
        ]
        for row in names:
            cells = [found.get((row, c)) or found[c, row] for c in names]
            lines.append(f"| **{row}** | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
