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

__all__ = ["Shell", "sentence"]

USAGE, ENVIRONMENT, INTERRUPTED = 2, 3, 130

UsageError: Any = typer.BadParameter.__base__  # click's own, wherever typer keeps it


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
    """One line that says what is wrong."""
    if isinstance(error, ValidationError):
        return "; ".join(_field(problem) for problem in error.errors())
    if isinstance(error, UsageError):
        return f"{error.format_message()} (see --help)"
    if isinstance(error, ValueError):
        return " ".join(str(error).split())
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} (attention-studio --debug … shows where)"


def _field(problem: Any) -> str:
    name, *rest = problem["loc"]
    if name == "size" and rest:
        name = ("height", "width")[rest[0]]
    came = repr(problem["input"])
    came = came if len(came) <= 60 else came[:60] + "…"
    return f"{name}: {came} came; {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _fail(text: str, code: int) -> NoReturn:
    print(f"attention-studio: {text}", file=sys.stderr)
    sys.exit(code)
