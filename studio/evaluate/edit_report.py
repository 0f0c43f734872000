"""What the suite `edit` found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan, nan
from statistics import median
from typing import TYPE_CHECKING

from .compared import where_drawn
from .edit_score import PSNR_DB, EditScore
from .edits import KINDS, Edit
from .judging import accuracy_lines
from .rates import Rate, rate_of
from .ratios import Interval95, mean_of, ratio_of
from .reweighting import WEIGHTS, Weighing

if TYPE_CHECKING:
    from .edit import Settings

__all__ = ["EditReport", "Figures", "Outcome", "Side"]

_HEAD = (
    *("edits", "joint", "joint, plain", "ratio", "changed", "changed, plain", "ratio"),
    *("dB outside", "dB, plain"),
)
_FLOW_HEAD = ("joint, FlowEdit", "changed, FlowEdit", "dB, FlowEdit")


@dataclass(frozen=True)
class Outcome:
    """One edit, by the method and by plain re-prompting.

    source_ok: whether the source shows the thing that is to change.
    flow:      by FlowEdit, where the model predicts a flow.
    """

    edit: Edit
    source_ok: bool
    ours: EditScore
    plain: EditScore
    flow: EditScore | None = None

    def scores(self) -> dict[str, EditScore]:
        """By the name of what made the picture."""
        found = {"edit": self.ours, "plain": self.plain}
        return found if self.flow is None else found | {"flow": self.flow}

    def facts(self) -> dict[str, object]:
        """For JSON."""
        scores = {
            name: {
                "there": verdict.there,
                "gone": verdict.gone,
                "psnr_outside": _finite(verdict.psnr_outside),
                "joint": verdict.joint,
            }
            for name, verdict in self.scores().items()
        }
        return {**asdict(self.edit), "source_ok": self.source_ok, **scores}


@dataclass(frozen=True)
class Side:
    """What one way of editing reached in a group: rates, and the median of the PSNR outside, dB."""

    joint: Rate
    changed: Rate
    psnr: float

    def facts(self) -> dict[str, object]:
        """For JSON."""
        rates = {"joint": self.joint.facts(), "changed": self.changed.facts()}
        return rates | {"psnr": _finite(self.psnr)}


@dataclass(frozen=True)
class Figures:
    """Of one group of edits: rates of joint success, of success without the PSNR clause, ratios.

    psnr, psnr_plain: medians of the PSNR outside, dB; infinite where most pictures have the
                      source's bits outside, nan in an empty group; null in JSON for both.
    flow:             FlowEdit's, where the model predicts a flow.
    """

    group: str
    joint: Rate
    joint_plain: Rate
    joint_ratio: Interval95
    changed: Rate
    changed_plain: Rate
    changed_ratio: Interval95
    psnr: float
    psnr_plain: float
    flow: Side | None = None

    def facts(self) -> dict[str, object]:
        """For JSON."""
        found: dict[str, object] = {"group": self.group}
        for name in ("joint", "joint_plain", "changed", "changed_plain"):
            found[name] = getattr(self, name).facts()
        for name in ("joint_ratio", "changed_ratio"):
            found[name] = getattr(self, name).facts()
        found |= {"psnr": _finite(self.psnr), "psnr_plain": _finite(self.psnr_plain)}
        return found if self.flow is None else found | {"flow": self.flow.facts()}


@dataclass(frozen=True)
class EditReport:
    """What was measured, on which settings, by which judge.

    tuning: whether the edits are from the range on which defaults are chosen.
    judge:  the judge's own figures on rendered truth; empty when its card has none.
    """

    model: str
    settings: Settings
    outcomes: tuple[Outcome, ...]
    weighings: tuple[Weighing, ...]
    steps: int
    guidance: float
    seed: int
    tuning: bool
    seconds: float
    judge: Mapping[str, object]

    def figures(self) -> Iterator[Figures]:
        """All edits, those whose source shows the thing to change, each kind, one thing or more."""
        flow = self.settings.flow is not None
        yield _figures("all", self.outcomes, flow=flow)
        yield _figures("source as asked", [o for o in self.outcomes if o.source_ok], flow=flow)
        for kind in KINDS:
            yield _figures(kind, [o for o in self.outcomes if o.edit.kind == kind], flow=flow)
        for things in sorted({o.edit.things for o in self.outcomes}):
            name = "one thing" if things == 1 else f"{things} things"
            chosen = [o for o in self.outcomes if o.edit.things == things]
            yield _figures(name, chosen, flow=flow)

    def rho(self) -> Interval95:
        """Mean Spearman correlation of weight and judged strength, over the prompts with one."""
        return mean_of([w.rho for w in self.weighings if w.rho is not None])

    def table(self) -> str:
        """Markdown."""
        made = self.settings
        text = _ends(made.cross_replace, "in the first {:.0%}")
        blend = "no blend" if made.threshold == 1 else _ends(made.threshold, "blend at {:g}")
        led = f"; {made.flow.text(self.steps)}" if made.flow else ""
        lines = [
            f"{self.model}: {len(self.outcomes)} edits "
            f"{where_drawn(self.steps, self.guidance, self.seed, tuning=self.tuning)}; maps "
            f"of the text {text}, of the layout in the first "
            f"{made.self_replace:.0%}, {blend}{led}.",
            f"Joint: new thing there, old one gone, PSNR outside {PSNR_DB:g} dB or more; changed: "
            "without the PSNR. Rates with Wilson's 95 % interval, ratios with that of a bootstrap.",
            "",
            _row(_HEAD + (_FLOW_HEAD if made.flow else ())),
            "|" + "---|" * (12 if made.flow else 9),
        ]
        for row in self.figures():
            cells = [
                row.group,
                row.joint.text(),
                row.joint_plain.text(),
                row.joint_ratio.text(),
                row.changed.text(),
                row.changed_plain.text(),
                row.changed_ratio.text(),
                _db(row.psnr),
                _db(row.psnr_plain),
            ]
            if row.flow is not None:
                cells += [row.flow.joint.text(), row.flow.changed.text(), _db(row.flow.psnr)]
            lines.append(_row(cells))
        if self.weighings:
            known = [w.rho for w in self.weighings if w.rho is not None]
            lines += [
                "",
                f"Weighed colours, × {', '.join(f'{w:g}' for w in WEIGHTS)}: mean Spearman "
                f"correlation of weight and judged strength {self.rho().text()} over {len(known)} "
                f"prompts ({len(self.weighings) - len(known)} left out: the thing is not found, or "
                "its colour never moves).",
            ]
        lines += accuracy_lines(self.judge)
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One JSON object: the facts of `table` and each edit's verdict."""
        return json.dumps(
            {
                "suite": "edit",
                "model": self.model,
                "edits": len(self.outcomes),
                "range": "tuning" if self.tuning else "evaluation",
                "settings": self.settings.facts(),
                "steps": self.steps,
                "guidance": self.guidance,
                "seed": self.seed,
                "seconds": self.seconds,
                "figures": [row.facts() for row in self.figures()],
                "reweighting": {
                    "weights": WEIGHTS,
                    "rho": self.rho().facts(),
                    "prompts": [
                        {**asdict(w.asked), "strengths": w.strengths, "rho": w.rho}
                        for w in self.weighings
                    ],
                },
                "verdicts": [outcome.facts() for outcome in self.outcomes],
                "judge": dict(self.judge),
            },
            indent=2,
            ensure_ascii=False,
        )


def _figures(group: str, outcomes: Sequence[Outcome], *, flow: bool) -> Figures:
    ours, plain = [o.ours for o in outcomes], [o.plain for o in outcomes]
    of_ours, of_plain = _side(ours), _side(plain)
    return Figures(
        group=group,
        joint=of_ours.joint,
        joint_plain=of_plain.joint,
        joint_ratio=ratio_of([o.joint for o in ours], [o.joint for o in plain]),
        changed=of_ours.changed,
        changed_plain=of_plain.changed,
        changed_ratio=ratio_of([o.changed for o in ours], [o.changed for o in plain]),
        psnr=of_ours.psnr,
        psnr_plain=of_plain.psnr,
        flow=_side([o.flow for o in outcomes if o.flow is not None]) if flow else None,
    )


def _side(scores: Sequence[EditScore]) -> Side:
    psnr = [score.psnr_outside for score in scores if score.psnr_outside is not None]
    return Side(
        joint=rate_of([score.joint for score in scores]),
        changed=rate_of([score.changed for score in scores]),
        psnr=median(psnr) if psnr else nan,
    )


def _ends(ends: float | tuple[float, float] | None, text: str) -> str:
    """Of one number, of two, or of what the command `edit` has."""
    if ends is None:
        return "as `edit` has it"
    if isinstance(ends, tuple):
        return text.format(ends[0]) + f" ({text.format(ends[1])} where words are added)"
    return text.format(ends)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _db(value: float) -> str:
    return "–" if isnan(value) else f"{value:.1f}"


def _finite(value: float | None) -> float | None:
    """For JSON, which knows no infinity."""
    return round(value, 3) if value is not None and isfinite(value) else None
