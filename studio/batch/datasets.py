"""Lines of known data sets, said as this project's manifests say them.

    InstructPix2Pix (Brooks et al. 2023, arXiv:2211.09800)   {"input": …, "edit": …, "output": …}
    PIE-Bench (Ju et al. 2023, arXiv:2310.01506)   {"original_prompt": …, "editing_prompt": …,
                                                    "blended_word": "cat dog", "image_path": …, …}
    FlowEdit's lists                               {"source_prompt": …, "target_prompts": […], …}

Differs: pictures they name are not opened; the source is drawn from its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["as_fields"]

_PIE_TEXTS = ("editing_instruction", "editing_type_id", "editing_type", "mask")
_PICTURES = ("image_path", "input_img", "url", "image")
_MARKS = re.compile(r"[\[\]]")


def as_fields(found: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of a manifest, and sentences on what was left out."""
    fields = dict(found)
    if {"input", "output"} <= fields.keys() and "prompt" not in fields:
        fields |= {"prompt": fields.pop("input"), "to": fields.pop("output")}
        fields.pop("edit", None)
        return _without_pictures(fields)
    if {"original_prompt", "editing_prompt"} <= fields.keys():
        source, edit = fields.pop("original_prompt"), fields.pop("editing_prompt")
        blend = fields.pop("blended_word", None)
        for name in _PIE_TEXTS:
            fields.pop(name, None)
        fields |= {"prompt": _unmarked(source), "to": _unmarked(edit)}
        if isinstance(blend, str) and blend.strip():
            fields["blend"] = blend.split()
        return _without_pictures(fields)
    if {"source_prompt", "target_prompts"} <= fields.keys():
        fields |= {"prompt": fields.pop("source_prompt"), "to": fields.pop("target_prompts")}
        return _without_pictures(fields)
    return fields, ()


def _unmarked(text: Any) -> Any:
    """PIE-Bench puts the words that change in brackets."""
    return " ".join(_MARKS.sub("", text).split()) if isinstance(text, str) else text


def _without_pictures(fields: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    named = [name for name in _PICTURES if fields.pop(name, None) is not None]
    said = tuple(f"{name}: not opened; the source is drawn from its prompt" for name in named)
    return fields, said
