"""Writes docs/help.md from the live command line; tests/test_house.py compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from attention_studio.cli import app


def page() -> str:
    """The whole page as Markdown."""
    root: Any = get_command(app)
    parts = [
        "# The command line\n\nWritten by `make docs` from the program itself. "
        "`attention-studio` and `python -m attention_studio` are the same.\n\n"
        "Exit codes: 0 ok · 1 some rows failed · 2 bad usage, recipe or manifest · "
        "3 environment · 130 interrupted.\n\n" + _options(root)
    ]
    for name, command in root.commands.items():
        arguments = [
            (p.metavar or p.name).upper() for p in command.params if not p.opts[0].startswith("-")
        ]
        usage = " ".join(["attention-studio", name, *arguments, "[OPTIONS]"])
        parts.append(f"## {name}\n\n{command.help.strip()}\n\n`{usage}`\n\n" + _options(command))
    return "\n".join(parts)


def _options(command: Any) -> str:
    rows = ["| | default | |", "|---|---|---|"]
    for param in command.params:
        names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        rows.append(f"| {names} | {_default(param)} | {param.help or ''} |")
    return "\n".join(rows) + "\n"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.default is None or param.default is False or param.default == "":
        return ""
    return f"`{param.default}`" if param.default is not True else "on"


if __name__ == "__main__":
    (Path(__file__).parent / "help.md").write_text(page(), encoding="utf-8")
