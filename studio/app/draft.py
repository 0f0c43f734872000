"""What a visitor has set on the edit page, and the recipe it means; no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias
from unicodedata import category

from ..control_specs import (
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
)
from ..edit_recipe import edit_recipe
from ..processors.prompts import find_spans, shown_words
from ..recipe import Recipe

__all__ = [
    "MOST_CHARACTERS",
    "MOST_GUIDANCE",
    "MOST_SEED",
    "MOST_STEPS",
    "WEIGHTS",
    "Draft",
    "Mode",
    "fits",
    "run_of",
    "stands_in",
    "unique_words",
    "visible",
    "without_maps",
    "words_of",
]

Mode: TypeAlias = Literal["swap", "refine", "reweight"]

# What the fields of the pages take; recipes may hold more.
MOST_CHARACTERS = 2000
MOST_GUIDANCE = 30.0
MOST_SEED = 2**53 - 1  # beyond it a browser's numbers have gaps
MOST_STEPS = 200
WEIGHTS = (-3.0, 5.0)


@dataclass(frozen=True)
class Draft:
    """One edit.

    word, becomes: swap: the number of the word among `words_of(prompt)`, and what takes its place.
    refined:   refine: the whole edited prompt.
    keep_rest: swap: leave the picture outside the two words' places as it is.
    around:    refine and reweight: the words around which the picture may change; none: everywhere.
    weights:   of words of the edited prompt; 1 is left out.
    hold, layout: parts of the denoising that look at the text, and lay things out, as the source;
               hold None = what suits the model.
    """

    prompt: str = "a cat on grass"
    mode: Mode = "swap"
    word: int = 1
    becomes: str = "dog"
    refined: str = "a cat on grass at sunset"
    keep_rest: bool = True
    around: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    model: str = "emoji-sd"
    negative: str = ""
    seed: int = 1
    steps: int = 15
    guidance: float = 5.0
    size: tuple[int, int] | None = None
    hold: float | None = None
    layout: float = 0.4

    @property
    def edited(self) -> str:
        """The edited prompt."""
        if self.mode == "reweight":
            return self.prompt
        if self.mode == "refine":
            return self.refined
        spans = shown_words(self.prompt)
        if not 0 <= self.word < len(spans):
            return self.prompt
        start, end = spans[self.word]
        return f"{self.prompt[:start]}{self.becomes.strip()}{self.prompt[end:]}"

    def recipe(self, folders: tuple[Path, ...] = ()) -> Recipe:
        """With models in these folders; ValueError, in one sentence, for what is missing or cannot
        be."""
        weights = {word: weight for word, weight in self.weights.items() if weight != 1}
        blend = self.around
        if self.mode == "swap":
            words = words_of(self.prompt)
            if not 0 <= self.word < len(words):
                raise ValueError("word: none is chosen; expected the one to replace")
            if not self.becomes.strip():
                raise ValueError(f"word: nothing came to replace {words[self.word]!r}")
            blend = (words[self.word], self.becomes.strip()) if self.keep_rest else ()
        if self.mode == "reweight" and not weights:
            raise ValueError("weights: all are 1; choose a word and move its slider")
        if self.mode != "reweight" and self.edited == self.prompt and not weights:
            raise ValueError("prompt: both are the same; change a word, or re-weight one")
        return edit_recipe(
            self.prompt,
            () if self.mode == "reweight" else (self.edited,),
            mode="auto" if self.mode == "swap" else self.mode,
            weights=weights,
            blend=tuple(dict.fromkeys(blend)),
            cross_replace=self.hold,
            self_replace=self.layout,
            folders=folders,
            **run_of(self),
        )

    @classmethod
    def of(cls, recipe: Recipe, folders: tuple[Path, ...] = ()) -> Draft | None:
        """The draft that means this recipe, but for recorded maps; None when the page has none."""
        bare = without_maps(recipe)
        controls = {spec.control: spec for spec in bare.controls}
        layout, weigh = controls.get("keep_layout"), controls.get("reweight_words")
        read = controls.get("replace_words") or controls.get("refine_words")
        blend = controls.get("local_blend")
        if (
            len(bare.prompts) != 2
            or not isinstance(read, ReplaceWords | RefineWords)
            or not isinstance(layout, KeepLayout)
        ):
            return None
        prompt, edited = bare.prompts
        weights = dict(weigh.weights) if isinstance(weigh, ReweightWords) else {}
        if not fits(bare) or any(not WEIGHTS[0] <= w <= WEIGHTS[1] for w in weights.values()):
            return None
        around = _flat(blend) if isinstance(blend, LocalBlend) else ()
        draft = cls(
            prompt=prompt,
            weights=weights,
            **run_of(bare),
            hold=read.during[1],
            layout=layout.during[1],
        )
        guesses = [
            replace(draft, mode="reweight", around=around),
            replace(draft, mode="refine", refined=edited, around=around),
        ]
        if (swap := _swap(prompt, edited)) is not None:
            word, becomes = swap
            guess = replace(draft, word=word, becomes=becomes, keep_rest=bool(around))
            added = words_of(prompt)[word] in becomes  # "grass at sunset" rather refines
            guesses.insert(2 if added else 1, guess)
        for guess in [replace(guess, hold=None) for guess in guesses] + guesses:
            try:
                if guess.recipe(folders) == bare:
                    return guess
            except ValueError:
                continue
        return None


def words_of(prompt: str) -> tuple[str, ...]:
    """The prompt's words in their order, repeated ones again."""
    return tuple(prompt[start:end] for start, end in shown_words(prompt))


def unique_words(*prompts: str) -> tuple[str, ...]:
    """The words of all prompts that can be seen, each once."""
    words = (word for prompt in prompts for word in words_of(prompt))
    return tuple(dict.fromkeys(word for word in words if visible(word)))


def visible(word: str) -> bool:
    """Whether there is more to it than signs that only direct others, such as U+202E."""
    return not all(category(char) in ("Cf", "Cc") for char in word)


def stands_in(word: str, *prompts: str) -> bool:
    """Whether a word or phrase is in any of the prompts."""
    for prompt in prompts:
        try:
            find_spans(prompt, word)
        except ValueError:
            continue
        return True
    return False


def run_of(asked: object) -> dict[str, Any]:
    """What recipes and drafts alike say of how to draw, by name."""
    names = ("model", "negative", "seed", "steps", "guidance", "size")
    return {name: getattr(asked, name) for name in names}


def fits(recipe: Recipe) -> bool:
    """Whether the fields of a page can hold what a recipe says beside its controls."""
    return (
        recipe.steps <= MOST_STEPS
        and recipe.guidance <= MOST_GUIDANCE
        and recipe.seed <= MOST_SEED
        and all(len(text) <= MOST_CHARACTERS for text in (*recipe.prompts, recipe.negative))
    )


def without_maps(recipe: Recipe) -> Recipe:
    """Recording only reads, so it does not count when recipes are compared."""
    controls = tuple(spec for spec in recipe.controls if not isinstance(spec, RecordMaps))
    return recipe.model_copy(update={"controls": controls})


def _swap(prompt: str, edited: str) -> tuple[int, str] | None:
    """The one word whose exchange makes `edited` of `prompt`, and what it became."""
    for number, (start, end) in enumerate(shown_words(prompt)):
        head, tail = prompt[:start], prompt[end:]
        if (
            edited.startswith(head)
            and edited.endswith(tail)
            and len(edited) > len(head) + len(tail)
            and edited != prompt
        ):
            return number, edited[len(head) : len(edited) - len(tail)]
    return None


def _flat(blend: LocalBlend) -> tuple[str, ...]:
    found: list[str] = []
    for words in blend.words:
        found += [words] if isinstance(words, str) else words
    return tuple(dict.fromkeys(found))
