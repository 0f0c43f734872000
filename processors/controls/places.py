"""Where the subjects of a run are in each picture, on every grid: as said, or as their words show.

A word's place is where its mean map, smoothed, is above Otsu's threshold once it was looked at for
a part of the run. A person's box or mask always goes before a word.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from torch import Tensor

from ..call import Batch, Call, Grid, Site, Step
from ..control import Prompts
from ..otsu import above
from ..recorder import Columns, Maps, Word
from ..sight import Sight, Sights
from .concepts import smoothed
from .gates import found_in
from .subjects import Overlap, Subject, held, label_map

__all__ = ["Kept", "Places", "looked_at"]


class Kept:
    """The last sights of each grid and batch, so that the engine meets the same objects again."""

    def __init__(self) -> None:
        self._last: dict[tuple[Grid | None, Batch], tuple[Hashable, Sights]] = {}

    def sights(
        self, call: Call, phase: Hashable, make: Callable[[], Mapping[int, Sight]]
    ) -> Sights:
        """Those of this phase, made if they are not there."""
        place = (call.queries.grid, call.batch)
        last = self._last.get(place)
        if last is None or last[0] != phase:
            last = self._last[place] = (phase, Sights(make()))
        return last[1]


class Places:
    """Made for one run, in `bind`.

    looks: the part of the denoising after which words have a place; before, they have none.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        overlap: Overlap,
        looks: float,
        scenes: Sequence[int],
        prompts: Prompts,
        control: str,
    ) -> None:
        if not 0 <= looks <= 1:
            raise ValueError(f"looks: came {looks}; expected [0, 1]")
        self.scenes = tuple(scenes)
        self._subjects, self._overlap, self._looks = tuple(subjects), overlap, looks
        self._images = prompts.images
        self._found: dict[tuple[str, int, int], Tensor] = {}
        self._labels: dict[tuple[int, int, Grid], Tensor] = {}
        words = []
        for subject in self._subjects:
            if isinstance(subject.where, str):
                found = found_in(prompts.tokenized(control), subject.where)
                missing = [p for p in self.scenes if p not in found]
                if missing:
                    raise ValueError(
                        f"subjects: the word {subject.where!r} of {subject.name!r} is not in "
                        f"prompt {missing[0]}; expected a word of the scene, a box or a mask"
                    )
                words += [Word(p, subject.where, found[p]) for p in self.scenes]
        self._words = tuple(words)

    @property
    def settled(self) -> bool:
        """Whether every subject has its place."""
        return not self._words or bool(self._found)

    def columns(self, site: Site) -> Columns | None:
        """What is to be recorded there until then."""
        return None if self.settled or not site.maps else Columns(self._words, edited=False)

    def observe(self, maps: Maps, step: Step) -> None:
        """After `looks` of the steps the words' places are settled."""
        if self.settled or step.index + 1 < self._looks * step.count:
            return
        for word in self._words:
            for image in range(self._images):
                heat = maps.get(word.text, prompt=word.prompt, image=image)
                self._found[word.text, word.prompt, image] = looked_at(heat).float()

    def labels(self, prompt: int, image: int, grid: Grid) -> Tensor | None:
        """[h·w] int64, 0 or 1 + the subject's number; None before all have their places."""
        if not self.settled:
            return None
        key = (prompt, image, grid)
        if key not in self._labels:
            masks = [
                held(
                    self._found[s.where, prompt, image] if isinstance(s.where, str) else s.where,
                    grid,
                    s.name,
                )
                for s in self._subjects
            ]
            self._labels[key] = label_map(masks, self._overlap).flatten()
        return self._labels[key]

    def notes(self, what: str) -> tuple[str, ...]:
        """Lines of a receipt: whom it was about, with their parts of the picture, and who is lost.

        Of the first scene's first picture, on the finest grid that was asked for.
        """
        if not self.settled:
            return (f"{what} nobody: their words were not looked at before the run ended",)
        of = [(k[2], v) for k, v in self._labels.items() if k[:2] == (self.scenes[0], 0)]
        if not of:
            return (f"{what} nobody: no attention asked for them",)
        _, labels = max(of, key=lambda entry: entry[0])
        parts = [
            (subject.name, float((labels == i).float().mean()))
            for i, subject in enumerate(self._subjects, 1)
        ]
        said = ", ".join(f"{name} ({part:.0%} of the picture)" for name, part in parts if part)
        lost = tuple(
            f"{name} has no place in the picture and was left alone"
            for name, part in parts
            if not part
        )
        return (f"{what} {said or 'nobody'}", *lost)


def looked_at(heat: Tensor) -> Tensor:
    """[h, w] bool on the CPU: where a map, smoothed, is above Otsu's threshold."""
    wide = min(heat.shape) > 1
    return above(smoothed(heat[None])[0] if wide else heat).cpu()
