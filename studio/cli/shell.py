"""Turns whatever a command raises into one sentence on stderr and an exit code.

0 ok, 1 some rows failed, 2 bad usage or recipe, 3 environment, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from ..device import UnavailableError

__all__ = ["Shell", "one_line", "sentence"]

USAGE, ENVIRONMENT, INTERRUPTED = 2, 3, 130

UsageError: Any = typer.BadParameter.__base__  # click's own, wherever typer keeps it

_LONGEST = 2000


class Shell(TyperGroup):
    """The root command: the one place that knows exit codes."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except typer.Abort:
            _fail("interrupted", INTERRUPTED)
        except (ValueError, UsageError) as error:
            _fail(sentence(error), USAGE)
        except Exception as error:
            _fail(sentence(error), ENVIRONMENT)
        if code == INTERRUPTED:  # typer has already turned Ctrl-C into its exit code
            _fail("interrupted", INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except Exception:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise


def sentence(error: Exception) -> str:
    """One line that says what is wrong; what came from outside cannot steer the terminal."""
    if isinstance(error, ValidationError):
        text = "; ".join(map(_problem, _innermost(error.errors())))
    elif isinstance(error, UsageError):
        text = f"{error.format_message()} (see --help)"
    elif isinstance(error, ValueError | UnavailableError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (attention-studio --debug … shows where)"
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def one_line(text: str) -> str:
    """The text without line breaks, and without anything that could steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _innermost(problems: list[Any]) -> list[Any]:
    """Without those of a whole whose part has one: pydantic counts a bad item as missing."""
    places = [problem["loc"] for problem in problems]
    return [
        p for p in problems if not any(p["loc"] == loc[: len(p["loc"])] != loc for loc in places)
    ]


def _problem(problem: Any) -> str:
    """A sentence for one entry of pydantic's list."""
    name, said = _place(problem["loc"]), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":  # one of ours, which says what came
        return f"{name}: {said}" if name else said
    if problem["type"] == "missing":
        return f"{name}: it is needed and did not come"
    came = repr(problem["input"])
    came = came if len(came) <= 60 else came[:60] + "…"
    return f"{name or 'recipe'}: {came} came; {said[0].lower()}{said[1:]}"


def _place(loc: tuple[str | int, ...]) -> str:
    """Such as "steps", "height", "controls[1].keep_layout.during"."""
    if loc[:1] == ("size",) and len(loc) > 1:
        return ("height", "width")[int(loc[1])]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")


def _fail(text: str, code: int) -> NoReturn:
    try:
        print(f"attention-studio: {text}", file=sys.stderr)
    except UnicodeEncodeError:  # an old terminal
        print(f"attention-studio: {text!a}", file=sys.stderr)
    sys.exit(code)
