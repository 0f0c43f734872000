"""Makes the rows of an entry: defaults, patterns and seeds filled in, the recipe checked.

{"id": "cat", "prompt": "a {cat|dog} on grass", "seeds": 4}                        8 rows
{"prompt": "a cat on grass", "to": "a dog on grass", "blend": ["cat", "dog"]}      an edit
{"prompts": ["a cat", "a dog"], "controls": ["p2p"], "steps": 20}                  as a recipe
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..edit_recipe import MODES, edit_recipe
from ..processors.prompts.units import blank_words
from ..recipe import Recipe
from .datasets import as_fields
from .formats import Entry
from .patterns import MOST, expand_patterns
from .row import Frame, Row

__all__ = ["FIELDS", "Maker", "problem"]

_EDIT = ("mode", "weights", "blend", "cross_replace", "self_replace")
_RECIPE = tuple(name for name in Recipe.model_fields if name not in ("prompts", "seed"))
FIELDS = (
    *("id", "prompt", "prompts", "to", "seed", "seeds", "words", "width", "height", "recipe"),
    *_EDIT,
    *_RECIPE,
)
"""What an entry may say."""

_SYNTAX = re.compile(r"[()\[\]<>\\]|(?<!\S)(?:AND|BREAK)(?!\S)")
_HALF = re.compile("[\ud800-\udfff]")
_FRAMES = 512  # kept at once
_LONGEST_ID = 400


class Maker:
    """Makes rows, and remembers the frames of those before.

    defaults:  fields of entries that do not say them.
    id_field:  where the id stands.
    syntax:    read patterns and the prompt syntax of other tools, or take prompts as text.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any] | None = None,
        *,
        id_field: str = "id",
        syntax: bool = True,
    ) -> None:
        self._defaults = dict(defaults or {})
        _check_names(self._defaults)
        self._id_field, self._syntax = id_field, syntax
        self._frames: OrderedDict[str, tuple[Frame, tuple[str, ...] | None, tuple[str, ...]]]
        self._frames = OrderedDict()

    def rows(self, entry: Entry) -> Iterator[Row]:
        """ValueError, in one sentence, for an entry that makes none."""
        if entry.error is not None:
            raise ValueError(entry.error)
        fields = dict(entry.fields)
        name = fields.pop(self._id_field, None)
        if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
            raise ValueError(f"{self._id_field}: came {name!r:.60}; expected a text or a number")
        if name is not None and (not 0 < len(str(name)) <= _LONGEST_ID or _HALF.search(str(name))):
            raise ValueError(f"{self._id_field}: expected 1 to {_LONGEST_ID} characters of Unicode")
        fields, said = as_fields(fields)
        given = _given(self._defaults, fields)
        sources, edits = _texts(given)
        seeds = _seeds(given)
        texts = expand_patterns((*sources, *edits)) if self._syntax else [(*sources, *edits)]
        if len(texts) * len(seeds) > MOST:
            raise ValueError(f"seeds: {len(texts) * len(seeds)} rows of one line; {MOST} at most")
        several = len(texts) * len(seeds) > 1
        for i, prompts in enumerate(texts):
            frame, read, more = self._frame(given, prompts, len(edits))
            for k, seed in enumerate(seeds):
                filled = read or prompts
                frame.check(filled, seed)
                if name is None:
                    id = Row.id_of(frame, filled, seed)
                else:
                    id = f"{name}-{i * len(seeds) + k}" if several else str(name)
                yield Row(id, entry.line, frame, filled, seed, (*said, *more))

    def _frame(
        self, given: Mapping[str, Any], prompts: tuple[str, ...], edits: int
    ) -> tuple[Frame, tuple[str, ...] | None, tuple[str, ...]]:
        """The frame; the prompts without syntax where they had some; what is said of it."""
        is_edit = edits > 0 or bool(given.get("weights") or given.get("blend"))
        syntax = self._syntax and any(_SYNTAX.search(text) for text in prompts)
        own = syntax or any(given.get(name) for name in ("blend", "weights", "words"))
        mode = given.get("mode", "auto")
        if is_edit and mode == "auto" and not own:
            mode = "swap" if len(set(map(_words, prompts))) == 1 else "refine"
        try:
            key = json.dumps([given, is_edit, mode, prompts if own else len(prompts)])
        except (TypeError, ValueError, RecursionError):
            raise ValueError("it holds what JSON does not: a date, nan or infinity") from None
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        found = _made(given, prompts, mode if is_edit else None, syntax)
        self._frames[key] = found
        if len(self._frames) > _FRAMES:
            self._frames.popitem(last=False)
        return found


def problem(error: Exception) -> str:
    """One sentence for what was wrong with an entry."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        return f"{place}: {text}" if place else text
    return " ".join(str(error).split())[:500]


def _given(defaults: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Defaults, over them a recipe written out, over it the fields; prompts still among them."""
    _check_names(fields)
    recipe = fields.pop("recipe", None)
    if recipe is None:
        given = {**defaults, **fields}
    elif isinstance(recipe, dict):
        _check_names(recipe)
        given = {**defaults, **recipe, **fields}
    else:
        raise ValueError(f"recipe: came {type(recipe).__name__}; expected an object")
    sides = given.pop("height", None), given.pop("width", None)
    if sides != (None, None):
        if None in sides:
            raise ValueError("size: came one of width and height; expected both")
        given["size"] = list(sides)
    return given


def _check_names(fields: Mapping[str, Any]) -> None:
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise ValueError(f"there is no field {unknown[0]!r:.80}; fields: {', '.join(FIELDS)}")


def _texts(given: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Sources and edits, taken out of what is given."""
    prompt, prompts, to = (given.pop(name, None) for name in ("prompt", "prompts", "to"))
    if (prompt is None) == (prompts is None):
        came = "neither" if prompt is None else "both"
        raise ValueError(f"prompt, prompts: came {came}; expected one of them")
    if to is not None and prompt is None:
        raise ValueError("to: came with prompts; expected prompt, or all of them in prompts")
    sources = [prompt] if prompt is not None else prompts
    edits = [] if to is None else [to] if isinstance(to, str) else to
    for name, found in (("prompt" if prompt is not None else "prompts", sources), ("to", edits)):
        if not isinstance(found, list | tuple) or not all(isinstance(t, str) for t in found):
            raise ValueError(f"{name}: came {found!r:.80}; expected text")
        if any(not text.isascii() and _HALF.search(text) for text in found):
            raise ValueError(f"{name}: it holds half a surrogate pair; expected Unicode text")
    return list(sources), list(edits)


def _seeds(given: dict[str, Any]) -> Sequence[int]:
    first, seeds = given.pop("seed", None), given.pop("seeds", None)
    first = 0 if first is None else first
    if isinstance(first, bool) or not isinstance(first, int):
        raise ValueError(f"seed: came {first!r:.60}; expected a whole number")
    if seeds is None:
        return (first,)
    if isinstance(seeds, int) and not isinstance(seeds, bool) and 1 <= seeds <= MOST:
        return range(first, first + seeds)
    if isinstance(seeds, list | tuple) and seeds and all(type(seed) is int for seed in seeds):
        return tuple(seeds)
    raise ValueError(f"seeds: came {seeds!r:.60}; expected how many, 1 to {MOST}, or a list")


def _words(text: str) -> int:
    return len(text.split()) if text.isascii() else len(blank_words(text))


def _made(
    given: Mapping[str, Any], prompts: tuple[str, ...], mode: str | None, syntax: bool
) -> tuple[Frame, tuple[str, ...] | None, tuple[str, ...]]:
    base = {name: given[name] for name in _RECIPE if name in given and name != "controls"}
    further = tuple(given.get("controls") or ())
    said: tuple[str, ...] = ()
    read: tuple[str, ...] | None = None
    if syntax:
        from ..syntax import apply_syntax

        steps = Recipe.model_validate({**base, "prompts": prompts}).steps
        is_edit = mode is not None or Recipe(prompts=prompts, controls=further).is_edit
        found = apply_syntax(prompts, steps=steps, is_edit=is_edit)
        prompts = read = found.prompts
        further, said = (*further, *found.controls), found.warnings
    words = given.get("words") or ()
    if mode is None:
        unused = [name for name in _EDIT if given.get(name) not in (None, [], {})]
        if unused:
            raise ValueError(f"{unused[0]}: came without to; expected an edit")
        if words:
            further = (*further, {"control": "record_maps", "words": _list(words, "words")})
        return Frame(Recipe(prompts=prompts, controls=further, **base)), read, said
    if mode not in MODES:
        raise ValueError(f"mode: came {mode!r:.60}; expected one of {', '.join(MODES)}")
    options = {name: given[name] for name in _EDIT[3:] if name in given}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float | list):
            raise ValueError(f"{name}: came {value!r:.60}; expected an end or [start, end]")
    recipe = edit_recipe(
        prompts[0],
        prompts[1:],
        mode=mode,
        weights=_weights(given.get("weights")),
        blend=_list(given.get("blend") or (), "blend"),
        words=_list(words, "words"),
        further=further,
        **options,
        **base,
    )
    return (
        Frame(recipe),
        (recipe.prompts if read or len(recipe.prompts) != len(prompts) else None),
        said,
    )


def _weights(found: Any) -> dict[str, float]:
    if found is None:
        return {}
    if isinstance(found, dict) and all(type(value) in (int, float) for value in found.values()):
        return found
    raise ValueError(f"weights: came {found!r:.80}; expected words and numbers")


def _list(found: Any, name: str) -> list[str]:
    """A list of words; a text is words between commas."""
    if isinstance(found, str):
        return [word.strip() for word in found.split(",") if word.strip()]
    if isinstance(found, list | tuple) and all(isinstance(word, str) for word in found):
        return list(found)
    raise ValueError(f"{name}: came {found!r:.80}; expected words")
