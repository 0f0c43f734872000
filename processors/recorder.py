"""Word maps as they stream by: the mean over sites and steps for each grid, within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .call import Grid

__all__ = ["BUDGET_BYTES", "Columns", "Maps", "Recorder", "Word"]

BUDGET_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Word:
    """A word of one prompt and its text tokens; its map is the sum of their columns."""

    prompt: int
    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """Words to record.

    edited: True = the maps as they act, after every edit; False = what the row itself looks at.
    texts:  True = in joint attention also how much each text token looks at the words, on the grid
            (T, 1): always what the row itself looks at.
    """

    words: tuple[Word, ...]
    edited: bool = True
    texts: bool = False


@dataclass(frozen=True)
class _Key:
    owner: object
    grid: Grid
    word: Word
    image: int


@dataclass
class _Mean:
    total: Tensor  # [h·w] fp32
    count: int


class Recorder:
    """Adds up maps of one run; it lives as long as the run."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._means: dict[_Key, _Mean] = {}

    def add(self, owner: object, grid: Grid, word: Word, image: int, column: Tensor) -> None:
        """One site's head-mean map, [h·w]; ValueError when the run would hold too much."""
        key = _Key(owner, grid, word, image)
        mean = self._means.get(key)
        if mean is not None:
            mean.total = mean.total + column
            mean.count += 1
            return
        self._used_bytes += column.numel() * 4
        if self._used_bytes > self._budget_bytes:
            raise ValueError(
                f"maps: {len(self._means) + 1} maps need {self._used_bytes} bytes, the budget is "
                f"{self._budget_bytes}; record fewer words or only the model's map grid"
            )
        self._means[key] = _Mean(column, 1)

    def maps(self, *owners: object) -> Maps:
        """What was recorded for these owners so far; the first one that has a map counts."""
        found: dict[tuple[Grid, int, str, int], Tensor] = {}
        for owner in owners:
            for key, mean in self._means.items():
                if key.owner == owner:
                    name = (key.grid, key.word.prompt, key.word.text, key.image)
                    found.setdefault(name, (mean.total / mean.count).view(key.grid))
        return Maps(found)


class Maps:
    """Mean word maps, [h, w] fp32: the part of the attention that falls on the word, in [0, 1]."""

    def __init__(self, found: Mapping[tuple[Grid, int, str, int], Tensor]) -> None:
        self._found = dict(found)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grids on which there are maps, finest first."""
        return tuple(sorted({key[0] for key in self._found}, reverse=True))

    @property
    def words(self) -> tuple[tuple[int, str], ...]:
        """(prompt, word) of every map."""
        return tuple(dict.fromkeys((key[1], key[2]) for key in self._found))

    def get(
        self, word: str, *, prompt: int = 0, image: int = 0, grid: Grid | None = None
    ) -> Tensor:
        """The map of one word; grid None = the only one there is."""
        grids = [key[0] for key in self._found if key[1:] == (prompt, word, image)]
        if not grids:
            raise ValueError(
                f"word: {word!r} of prompt {prompt}, image {image} was not recorded; "
                f"recorded: {', '.join(f'{w!r} of prompt {p}' for p, w in self.words) or 'nothing'}"
            )
        if grid is None and len(grids) == 1:
            grid = grids[0]
        if grid not in grids:
            raise ValueError(f"grid: came {grid}; recorded: {', '.join(map(str, sorted(grids)))}")
        return self._found[grid, prompt, word, image]
