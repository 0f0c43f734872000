"""What the app is started with; the launcher writes it as arguments, the script reads it back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """out: folder of pictures and journal.    models: folders with further models.

    device: "auto", "cpu", "cuda", …    locked: whether a password is asked for.
    """

    out: Path = Path("out")
    models: tuple[Path, ...] = ()
    device: str = "auto"
    locked: bool = False

    def arguments(self) -> list[str]:
        """What `of` reads back."""
        found = ["--out", str(self.out), "--device", self.device]
        for folder in self.models:
            found += ["--models-dir", str(folder)]
        return [*found, "--locked"] if self.locked else found

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Settings:
        """From the script's arguments."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--out", type=Path, default=Path("out"))
        parser.add_argument("--models-dir", type=Path, action="append", default=[])
        parser.add_argument("--device", default="auto")
        parser.add_argument("--locked", action="store_true")
        found = parser.parse_args(arguments)
        return cls(found.out, tuple(found.models_dir), found.device, found.locked)
