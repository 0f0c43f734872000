"""Which controls go together, found out by running every pair.

`python -m tests.processors.capabilities > docs/capabilities.md` writes the page; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations_with_replacement

import torch

from attention_studio.capabilities import Matrix
from attention_studio.processors import (
    AlignStyle,
    BindAttributes,
    BlendQueries,
    BoxLayout,
    Control,
    Excite,
    FollowSource,
    InjectFeatures,
    Interval,
    IsolateSubjects,
    KeepLayout,
    LocalBlend,
    LocalWindow,
    Match,
    PlacePortraits,
    ReadSubjectPrompts,
    RecordMaps,
    RefineWords,
    RegionPrompts,
    ReplaceWords,
    RepositionSubjects,
    Retain,
    ReweightWords,
    Rows,
    SchedulePrompt,
    Segregate,
    ShareSubjects,
    ShareTokens,
    StructurePhrases,
    Subject,
)
from attention_studio.processors.attach import attach

from .conftest import Studio
from .joint_pipelines import JointStudio
from .test_stock import traces

__all__ = ["CONTROLS", "FAMILIES", "PAIRS", "page", "verdict", "verdicts"]

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
    "local_window": lambda during: LocalWindow(3, during=during),
    "record_maps": lambda during: RecordMaps(("grass",), during=during),
    "schedule_prompt": lambda during: SchedulePrompt(((), ((1 - during.end, "a lion on sand"),))),
    "segregate": lambda during: Segregate(_TWO, during=during, rows=Rows.COND_EDIT),
    "retain": lambda during: Retain(_TWO, during=during, rows=Rows.COND_EDIT),
    "excite": lambda during: Excite(_TWO, (), during=during, rows=Rows.COND_EDIT),
    "bind_attributes": lambda during: BindAttributes(
        {"grass": ("tiger",)}, during=during, rows=Rows.COND_EDIT
    ),
    "box_layout": lambda during: BoxLayout(
        {"tiger": _BOX}, most=1, during=during, rows=Rows.COND_EDIT
    ),
    "region_prompts": lambda during: RegionPrompts(((_BOX, "a lion"),), during=during),
    "structure_phrases": lambda during: StructurePhrases(
        ("on grass",), during=during, rows=Rows.COND_EDIT
    ),
    "isolate_subjects": lambda during: IsolateSubjects(_SUBJECTS, during=during),
    "reposition_subjects": lambda during: RepositionSubjects(_SUBJECTS, during=during),
    "read_subject_prompts": lambda during: ReadSubjectPrompts(_SUBJECTS, during=during),
    "align_style": lambda during: AlignStyle(during=during),
    "follow_source": lambda during: FollowSource(during=during),
    "share_subjects": lambda during: ShareSubjects(where=(_BOX, _BOX), anchors=(0,), during=during),
    "blend_queries": lambda during: BlendQueries(during=during, prompts=(1,)),
    "inject_features": lambda during: InjectFeatures(_LIKE, during=during),
    "place_portraits": lambda during: PlacePortraits(
        torch.zeros(1, 4, 8, 8), (1,), torch.linspace(1, 0, 1000), during
    ),
    "share_tokens": lambda during: ShareTokens(sources=(0,), early=1.0, late=1.0, during=during),
}
_LIKE = tuple(
    Match(1, torch.zeros(side, side).long(), torch.arange(side**2).view(side, side))
    for side in (4, 8)  # of the largest grids
)
_TWO, _BOX = ("tiger", "grass"), (0.0, 0.0, 0.5, 1.0)
_SUBJECTS = (Subject("tiger", _BOX, 0), Subject("grass", (0.5, 0.0, 1.0, 1.0), 0))
_FOR_ALL_PROMPTS = {"local_window", "region_prompts"}  # which therefore change the source too
PAIRS = tuple(combinations_with_replacement(CONTROLS, 2))
_ALWAYS, _NEVER = Interval(0.0, 1.0), Interval(0.0, 0.0)
_RUN = {"num_inference_steps": 2, "height": 16, "width": 16}  # 8 x 8 latents: maps of 8 x 8, 4 x 4


def verdict(studio: Studio | JointStudio, first: str, second: str, base: torch.Tensor) -> str:
    """ "yes" when the pair runs and keeps the laws, else the sentence with which it is refused."""
    pair = [CONTROLS[name](_ALWAYS) for name in (first, second)]
    try:
        with attach(studio.pipe, pair):
            out = studio(**_RUN)
    except ValueError as refusal:
        return str(refusal)
    if not _FOR_ALL_PROMPTS & {first, second}:
        assert torch.equal(out[0], base[0]), f"{first} and {second} changed the source"
    assert bool(out.isfinite().all())
    if first == second:
        with attach(studio.pipe, [CONTROLS[first](_NEVER)]):
            found = studio(**_RUN)
        assert torch.equal(found, base), f"{first} acts when it shall not"
    return "yes"


def verdicts(family: str, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Of each pair, on one pipeline."""
    studio = FAMILIES[family]()
    base, before, found = studio(**_RUN), traces(studio.pipe), {}
    for pair in pairs:
        found[pair] = verdict(studio, *pair, base)
        assert traces(studio.pipe) == before, f"{pair} left a trace"
    assert torch.equal(studio(**_RUN), base), "a pair changed the pipeline"
    return found


def matrix() -> dict[str, dict[str, dict[str, str]]]:
    """Every pair on every family, run now."""
    made = {}
    for family in FAMILIES:
        found = verdicts(family, PAIRS)
        made[family] = {
            row: {c: found.get((row, c)) or found[c, row] for c in CONTROLS} for row in CONTROLS
        }
    return made


def page(matrix: Matrix) -> str:
    """The matrix as Markdown, for `read_page`."""
    lines = [
        "# What goes together",
        "",
        "Written by `python -m tests.processors.capabilities > docs/capabilities.md`, which runs",
        "every pair on a tiny random pipeline. Yes means: the source's picture keeps the bits of a",
        "stock run (but for local_window and region_prompts, which are for all prompts); each",
        "control by itself leaves all of them alone while it is switched off and after it is gone.",
        "A number is that of the sentence, below the table, with which the pair is refused. Of two",
        "controls that both edit maps, the later one in the list sees what the earlier one left.",
    ]
    for family, pairs in matrix.items():
        reasons: dict[str, int] = {}
        lines += [
            "",
            f"## {family}",
            "",
            f"| | {' | '.join(pairs)} |",
            "|---" * (len(pairs) + 1) + "|",
        ]
        for row, verdicts_of in pairs.items():
            cells = [
                "yes" if said == "yes" else str(reasons.setdefault(said, len(reasons) + 1))
                for said in verdicts_of.values()
            ]
            lines.append(f"| **{row}** | {' | '.join(cells)} |")
        lines += [""] * bool(reasons)
        lines += [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(matrix()), end="")
