"""What a visitor has set on the page Batch, and the batch it means; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..batch.formats import format_of
from ..batch.job import BatchJob

__all__ = ["EXAMPLES", "BatchDraft", "read_upload"]

EXAMPLES: Mapping[str, str] = {
    "jsonl": """\
{"id": "swap", "prompt": "a cat on grass", "to": "a dog on grass", "blend": ["cat", "dog"]}
{"id": "colours", "prompt": "a {red|blue} car at night"}
{"id": "seeds", "prompt": "a frog in the snow", "seeds": 3}
""",
    "csv": """\
id,prompt,to,seeds
swap,a cat on grass,a dog on grass,
colours,a {red|blue} car at night,,
seeds,a frog in the snow,,3
""",
    "yaml": """\
- {id: swap, prompt: a cat on grass, to: a dog on grass, blend: [cat, dog]}
- {id: colours, prompt: "a {red|blue} car at night"}
- {id: seeds, prompt: a frog in the snow, seeds: 3}
""",
}
"""Six rows each, by the format of the manifest."""


@dataclass(frozen=True)
class BatchDraft:
    """text: the manifest, in one of the formats of `EXAMPLES`.

    model, steps: of rows that do not say them.    together: rows that one call may draw.
    """

    text: str = EXAMPLES["jsonl"]
    kind: str = "jsonl"
    model: str = "emoji-sd"
    steps: int = 15
    together: int = 1

    def job(self) -> BatchJob:
        """ValueError for no manifest at all; what is wrong with its lines, the plan says."""
        defaults = {"model": self.model, "steps": self.steps}
        return BatchJob(self.text, self.kind, self.together, defaults)

    @classmethod
    def of(cls, job: BatchJob) -> BatchDraft:
        """The draft that means this batch."""
        return cls(job.text, job.kind, together=job.together, **dict(job.defaults))


def read_upload(name: str, data: bytes) -> tuple[str, str]:
    """The text and the format of an uploaded manifest; ValueError for what is none."""
    kind = format_of(Path(name))
    if kind not in EXAMPLES:
        raise ValueError(f"file: {kind} came; expected one of {', '.join(EXAMPLES)}")
    try:
        return data.decode("utf-8-sig"), kind
    except UnicodeDecodeError:
        raise ValueError(f"file: {name!r:.80} is not UTF-8; what stands here stays") from None
