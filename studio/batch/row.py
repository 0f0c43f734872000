"""A row of a batch: one recipe with an id, and the folder that its pictures go to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from ..gallery import slug
from ..recipe import Recipe

__all__ = ["Frame", "Row", "folder_name"]

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}", re.ASCII | re.IGNORECASE)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.ASCII | re.IGNORECASE)
_LONG = 4000  # characters beyond which a recipe's own checks are made once more
_MOST_SEEDS = 2**62


@dataclass(frozen=True)
class Frame:
    """What rows have in common: a recipe, of which each row changes only prompts and seed.

    A million rows are mostly a handful of frames, so that a row costs two texts and a number.
    """

    recipe: Recipe

    @cached_property
    def digest(self) -> str:
        """Twenty hexadecimal digits of everything but prompts and seed."""
        bare = self.recipe.model_dump(mode="json") | {
            "prompts": len(self.recipe.prompts),
            "seed": None,
        }
        return sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:20]

    def check(self, prompts: Sequence[str], seed: int) -> None:
        """ValueError for prompts and a seed that no recipe takes."""
        plain = len(prompts) == len(self.recipe.prompts) and 0 <= seed < _MOST_SEEDS
        if not plain or sum(map(len, prompts)) > _LONG:
            change = {"prompts": tuple(prompts), "seed": seed}
            Recipe.model_validate(self.recipe.model_dump() | change)

    def fill(self, prompts: Sequence[str], seed: int) -> Recipe:
        """The recipe of a row that was checked."""
        return self.recipe.model_copy(update={"prompts": tuple(prompts), "seed": seed})


@dataclass(frozen=True)
class Row:
    """One recipe to run.

    id:   as the manifest gives it, else made from the recipe, so that equal recipes are one row.
    line: of the manifest, the first being 1.
    said: what could not be taken over as it was written.
    """

    id: str
    line: int
    frame: Frame
    prompts: tuple[str, ...]
    seed: int
    said: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """What to draw."""
        return self.frame.fill(self.prompts, self.seed)

    @property
    def folder(self) -> str:
        """A name that is safe on every system and tells ids apart."""
        return folder_name(self.id)

    @staticmethod
    def id_of(frame: Frame, prompts: Sequence[str], seed: int) -> str:
        """Sixteen hexadecimal digits of the whole recipe."""
        text = json.dumps([frame.digest, *prompts, seed])
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def folder_name(id: str) -> str:
    """The id where it is a plain name on every system, else what is left of it and a digest."""
    if _PLAIN.fullmatch(id) and not _RESERVED.fullmatch(id):
        return id
    digest = sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{slug(id)}-{digest}"
