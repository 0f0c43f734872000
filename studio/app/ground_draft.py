"""What a visitor has set on the page Ground, and the job it means; no Streamlit here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..ground import GroundJob, GroundSettings
from ..ground.settings import MAGNETS

__all__ = ["EXPRESSION", "MODES", "GroundDraft", "example_picture"]

EXPRESSION = "the red dog"
MODES = {
    "all": "Magnets and sinks",
    "no magnets": "Without appended words",
    "plain": "Only the words' maps",
}
"""How much of RefAM acts, and what the form calls it."""


@dataclass(frozen=True)
class GroundDraft:
    """noise: part of the way to noise, in percent; 0 = 20.
    cut:   part of the map's range where the mask begins, in percent; 0 = what suits the model.
    """

    expression: str = EXPRESSION
    model: str = "emoji-sd"
    mode: str = "all"
    noise: int = 0
    cut: int = 0
    seed: int = 0

    def job(self, picture: bytes, root: Path) -> GroundJob:
        """Keeps the picture below `root`; ValueError, in one sentence, for what cannot be."""
        return GroundJob.of(picture, self.expression, self.model, self.settings, root)

    @property
    def settings(self) -> GroundSettings:
        """What the form says beside picture, words and model."""
        return GroundSettings(
            noise=self.noise / 100 or None,
            seed=self.seed,
            magnets=MAGNETS if self.mode == "all" else (),
            plain=self.mode == "plain",
            cut=self.cut / 100 or None,
        )

    @classmethod
    def of(cls, job: GroundJob) -> GroundDraft | None:
        """The draft that means this job; None when the form cannot show it."""
        said = job.settings
        mode = "plain" if said.plain else "all" if said.magnets else "no magnets"
        noise, cut = (round(100 * (part or 0)) for part in (said.noise, said.cut))
        draft = cls(job.expression, job.model, mode, noise, cut, said.seed)
        return draft if draft.settings == said else None


def example_picture() -> bytes:
    """A red dog beside a cat on grass, as a PNG."""
    from ..emoji.plan import Plan, Thing
    from ..emoji.render import render

    things = (
        Thing("dog", "red", None, (0.06, 0.3, 0.46, 0.7)),
        Thing("cat", None, None, (0.54, 0.4, 0.92, 0.78)),
    )
    plan = Plan(things, "left of", "grass", None, EXPRESSION, 3)
    file = io.BytesIO()
    Image.fromarray(render(plan).image).save(file, "PNG")
    return file.getvalue()
