"""The recipe a picture carries: ours as JSON, else as much as a web UI's text tells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from .parameters_text import Parameters, parse_parameters
from .picture_file import PictureFile, open_picture
from .recipe import ALGORITHM_VERSION, Recipe

__all__ = ["KEY", "Stored", "read_json", "read_stored"]

KEY = "attention_studio"
"""The key of our text in a PNG."""

_DEPTH, _KEYS = 16, 64


@dataclass(frozen=True, eq=False)
class Stored:
    """What a picture says of itself.

    recipe:   None when there is nothing that makes one; `notes` say why.
    index:    which of the recipe's pictures it is.
    run:      digest of the recipe for which it was drawn; a "plain" picture has one of its own.
    number:   its place among the pictures of that run.
    role:     "picture", "source", "edit", or "plain" for one without controls.
    origin:   whose text it was: ours, a web UI's, or nobody's.
    versions: of the libraries that drew it.
    made:     further things that are known: scheduler, device, dtype.
    notes:    sentences on what could not be taken over.
    picture:  the file itself, not yet decoded.
    """

    picture: PictureFile
    recipe: Recipe | None
    index: int = 0
    run: str = ""
    number: int = 0
    role: str = "picture"
    origin: Literal["attention-studio", "web-ui", "none"] = "none"
    versions: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_stored(picture: Path | bytes) -> Stored:
    """ValueError, in one sentence, for a file or a text that is refused."""
    file = open_picture(picture)
    if KEY in file.texts:
        return _ours(file, read_json(file.texts[KEY], "picture: its recipe"))
    if "parameters" in file.texts:
        return _web_ui(file, parse_parameters(file.texts["parameters"]))
    return Stored(file, None, notes=("the picture carries no recipe",))


def read_json(text: str, name: str, *, most_keys: int = _KEYS) -> Any:
    """JSON without the ways in which it can hurt: depth, width, double keys, numbers that are none.

    ValueError that begins with `name`.
    """
    depth = deepest = 0
    for mark in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"?', "", text, flags=re.S)):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _DEPTH:
        raise ValueError(f"{name} is nested {deepest} deep; expected at most {_DEPTH}")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in found}) < len(found):
            raise ValueError("has a key twice")
        if len(found) > most_keys:
            raise ValueError(f"has {len(found)} keys in one place; expected at most {most_keys}")
        return dict(found)

    def constant(found: str) -> Any:
        raise ValueError(f"has {found} for a number")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not valid JSON (line {error.lineno})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} {' '.join(str(error).split())[:120]}") from None


def _ours(file: PictureFile, record: Any) -> Stored:
    if not isinstance(record, dict) or not isinstance(record.get("recipe"), dict):
        raise ValueError("picture: its recipe is no JSON object; expected one written by us")
    version = record["recipe"].get("algorithm_version")
    if isinstance(version, int) and version > ALGORITHM_VERSION:
        raise ValueError(
            f"picture: it was made by algorithm {version}; this installation knows up to "
            f"{ALGORITHM_VERSION}"
        )
    recipe = Recipe.model_validate(record["recipe"])
    index, number = record.get("index"), record.get("number")
    if not isinstance(index, int) or not 0 <= index < len(recipe.prompts):
        raise ValueError(f"picture: it says it is picture {index!r:.40} of its recipe")
    return Stored(
        file,
        recipe,
        index,
        str(record.get("run", recipe.digest))[:8],
        number if isinstance(number, int) else index,
        str(record.get("role", "picture"))[:20],
        "attention-studio",
        _texts(record.get("versions")),
        _texts(record.get("made")),
    )


def _texts(found: Any) -> dict[str, str]:
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(key)[:60]: str(value)[:60] for key, value in pairs}


def _web_ui(file: PictureFile, said: Parameters) -> Stored:
    """Settings one by one: one that is not ours to make is left out and named."""
    given: dict[str, Any] = {"prompts": (said.prompt,), "negative": said.negative}
    wanted = {
        "steps": said.settings.get("Steps"),
        "guidance": said.settings.get("CFG scale"),
        "seed": said.settings.get("Seed"),
        "model": said.settings.get("Model"),
        "size": _size(said.settings.get("Size", "")),
    }
    notes = [
        f"{name} {said.settings[name]!r:.80} is not taken over"
        for name in ("Sampler", "Schedule type", "Hires upscale", "Denoising strength", "Clip skip")
        if name in said.settings
    ]
    for name, value in wanted.items():
        if value is None:
            continue
        try:
            Recipe.model_validate({"prompts": ("",), name: value})
            given[name] = value
        except ValidationError:
            notes.append(f"{name} {value!r:.80} is not taken over")
    try:
        recipe = Recipe.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        return Stored(file, None, origin="web-ui", notes=(f"its prompt is refused: {problem}",))
    return Stored(file, recipe, origin="web-ui", notes=tuple(notes))


def _size(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    return None if found is None else (int(found[2]), int(found[1]))
