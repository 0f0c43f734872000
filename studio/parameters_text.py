"""The text that Stable Diffusion web UIs write into their pictures, under the key "parameters".

    the prompt, in one or more lines
    Negative prompt: in one or more lines
    Steps: 30, Sampler: DDIM, CFG scale: 5.0, Seed: 7, Size: 512x768, Model: name, Version: …

The last line counts only with three pairs or more; a value with a comma, a colon or a line break
stands in JSON's quotes. Galleries and model sites read it; ours: further keys stand at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Parameters", "parse_parameters", "write_parameters"]

_PAIR = re.compile(r'\s*([\w ]{1,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"


@dataclass(frozen=True)
class Parameters:
    """What such a text says; the settings as they stand there, by name."""

    prompt: str
    negative: str
    settings: Mapping[str, str]


def write_parameters(prompt: str, negative: str, settings: Mapping[str, object]) -> str:
    """The text of one picture."""
    lines = [prompt]
    if negative:
        lines.append(f"{_NEGATIVE} {negative}")
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in settings.items()))
    return "\n".join(lines)


def parse_parameters(text: str) -> Parameters:
    """As much of it as can be read; a text without a line of settings is all prompt."""
    *lines, last = text.strip("\n").split("\n")
    settings = {name.strip(): _plain(value) for name, value in _PAIR.findall(last)}
    if len(settings) < 3:
        lines, settings = [*lines, last], {}
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines:
        if into is prompt and line.startswith(_NEGATIVE):
            into, line = negative, line[len(_NEGATIVE) :].lstrip(" ")
        into.append(line)
    return Parameters("\n".join(prompt), "\n".join(negative), settings)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search("[,:\n]", value) else value


def _plain(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            pass
    return value
