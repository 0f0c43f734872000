"""Model cards: what a model was trained on, for how long, on what machine, and how good it is."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from .loop import Budget, Trained

__all__ = ["Card", "card_of", "read_card", "write_card"]

LICENCE = "Apache-2.0 (weights); trained on scenes drawn from Noto Color Emoji (OFL-1.1)"


@dataclass(frozen=True)
class Card:
    """The facts of a model; `figures` come from `evaluate` and stay empty until it has run."""

    name: str
    version: str
    image_size: int
    nouns: tuple[str, ...]
    data: str
    steps_trained: int
    pictures_seen: int
    seconds: float
    machine: str
    seed: int
    licence: str = LICENCE
    figures: dict[str, object] = field(default_factory=dict)


def card_of(
    name: str,
    version: str,
    image_size: int,
    nouns: tuple[str, ...],
    budget: Budget,
    done: Trained,
    *,
    data: str = "endless scenes of emoji world, held-out combinations left out",
) -> Card:
    """The card of a run that has just ended."""
    return Card(
        name=name,
        version=version,
        image_size=image_size,
        nouns=nouns,
        data=data,
        steps_trained=done.steps,
        pictures_seen=done.pictures,
        seconds=round(done.seconds),
        machine=_machine(budget),
        seed=budget.seed,
    )


def write_card(card: Card, folder: Path) -> None:
    """`card.json` for programs and `README.md` for people."""
    facts = asdict(card)
    (folder / "card.json").write_text(json.dumps(facts, indent=2) + "\n")
    lines = [f"# {card.name} {card.version}", ""]
    lines += [
        f"{card.image_size} × {card.image_size} px; knows {len(card.nouns)} nouns: "
        + ", ".join(card.nouns) + ".",
        "",
        f"Trained on {card.data}: {card.pictures_seen:,} pictures in {card.steps_trained:,} steps, "
        f"{card.seconds / 60:.0f} minutes, seed {card.seed}, on {card.machine}.",
        "",
    ]  # fmt: skip
    if card.figures:
        lines += ["| figure | value |", "|---|---|"]
        lines += [f"| {name} | {_shown(value)} |" for name, value in card.figures.items()]
        lines += [""]
    lines += [f"Licence: {card.licence}.", ""]
    (folder / "README.md").write_text("\n".join(lines))


def read_card(folder: Path) -> Card:
    """The card in a model's folder."""
    facts = json.loads((folder / "card.json").read_text())
    return Card(**{**facts, "nouns": tuple(facts["nouns"])})


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _machine(budget: Budget) -> str:
    if budget.device.startswith("cuda"):
        return f"one {torch.cuda.get_device_name(budget.device)}"
    threads = budget.threads or torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''} ({platform.machine()})"
