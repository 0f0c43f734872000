"""Portraits on disk, so that a further scene costs a rehearsal and a controlled run, whenever.

A portrait is kept under a hash of everything that it depends on, with a mask of its subject beside
it; what is damaged or half there is drawn anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..gallery import write_png
from ..picture_file import open_picture

__all__ = ["Portraits"]


class Portraits:
    """Those in a folder, which is made when it is missing.

    facts: what portraits depend on beside their own prompts and seeds.
    """

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self._folder, self._facts = folder, dict(facts)
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, word: str, prompt: str, seed: int) -> Path:
        """Where it is, or would be."""
        said = {**self._facts, "word": word, "prompt": prompt, "seed": seed}
        key = sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{key}.png"

    def find(self, path: Path) -> tuple[Image.Image, Tensor] | None:
        """The picture, and where its subject is, [h, w] bool; None when it is not there."""
        try:
            image, mask = (open_picture(file).image() for file in (path, _seat(path)))
        except (OSError, ValueError):
            return None
        return image, torch.from_numpy(np.asarray(mask.convert("L")) > 127)

    def keep(self, path: Path, image: Image.Image, seat: Tensor) -> None:
        """The mask first: a portrait that is there is whole."""
        write_png(Image.fromarray(seat.numpy().astype(np.uint8) * 255), _seat(path))
        write_png(image, path)


def _seat(path: Path) -> Path:
    return path.with_name(f"{path.stem}-seat.png")
