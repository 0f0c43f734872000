"""Which words of a control are for which prompt of a recipe."""

from __future__ import annotations

from collections.abc import Iterable

from .processors.prompts import MissingWordError, find_spans
from .processors.prompts.phrases import things
from .recipe import Recipe

__all__ = ["present", "things_of"]


def present(
    words: Iterable[str], recipe: Recipe, prompt: int | None, asked: Iterable[int]
) -> tuple[str, ...]:
    """The words that the prompt has, in an edit all; ValueError when none of `asked` has one."""
    if prompt is None:
        return tuple(words)
    kept, asked = [], tuple(asked)
    for word in words:
        homes, error = [], None
        for i in asked:
            try:
                find_spans(recipe.prompts[i], word)
                homes.append(i)
            except MissingWordError as missing:
                error = missing
        if not homes and error is not None:
            raise error
        if prompt in homes:
            kept.append(word)
    return tuple(kept)


def things_of(
    words: Iterable[str], recipe: Recipe, prompt: int | None, control: str, least: int
) -> tuple[str, ...]:
    """The words that the prompt has, or when none are given the things in it; () = too few.

    ValueError when no prompt has `least` of them.
    """
    every = range(len(recipe.prompts))
    given = tuple(words)
    found = [
        present(given, recipe, i, every) if given else things(recipe.prompts[i]) for i in every
    ]
    if max(map(len, found)) < least:
        raise ValueError(
            f"controls: {control} needs {least} or more, and found {found[0]} in "
            f"{recipe.prompts[0]!r}; expected concepts=, words of the prompt"
        )
    if prompt is None:
        return tuple(dict.fromkeys(word for own in found for word in own))
    return found[prompt] if len(found[prompt]) >= least else ()
