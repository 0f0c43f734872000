"""The pictures of a suite, kept as they are drawn, so that an evaluation of hours can go on.

A folder holds a picture once: what is there is read, not drawn again, and judged anew each time.
Several processes may share a folder when each begins elsewhere (`turns`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter

from PIL import Image, PngImagePlugin

from ..drawing import Watch
from ..gallery import write_png
from ..whole_files import write_whole

__all__ = ["Kept", "turns"]

_FACTS = "pictures.json"
_SECONDS = "seconds"  # text chunk of a kept picture: how long its call took

Pictures = tuple[Image.Image, ...]


class Kept:
    """Pictures by name; in `folder / "pictures"`, or in memory when there is no folder.

    facts: everything the pictures depend on. A folder that was begun with other facts is refused,
           and so is one with pictures of which nothing says what they depend on.
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, object]) -> None:
        self._folder = None if folder is None else folder / "pictures"
        self._memory: dict[str, tuple[Image.Image, float]] = {}
        if folder is None or self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(facts))
        file = folder / _FACTS
        if not file.is_file() and not any(self._folder.glob("*.png")):
            write_whole(file, json.dumps(wanted, indent=2) + "\n")
        found = _read(file)
        if found is None:
            raise ValueError(
                f"out: {folder} holds pictures, and no {_FACTS} that says of which run; expected "
                "another folder, or the same run to go on with"
            )
        for name in sorted({*found, *wanted}):
            if found.get(name) != wanted.get(name):
                raise ValueError(
                    f"out: {folder} holds pictures with {name} {found.get(name)!r}, this run has "
                    f"{wanted.get(name)!r}; expected another folder, or the same run to go on with"
                )

    def draw(
        self, names: Sequence[str], make: Callable[[], Sequence[Image.Image]], watch: Watch
    ) -> None:
        """Keep the pictures of one call under `names`; a call whose pictures are there is counted
        as done and not made."""
        if all(map(self.there, names)):
            watch.done += watch.steps
            if watch.progress is not None:
                watch.progress(watch.done, watch.total)
            return
        since = perf_counter()
        images = make()
        seconds = perf_counter() - since
        for name, image in zip(names, images, strict=True):
            self._keep(name, image, seconds)

    def read(self, names: Sequence[str]) -> Pictures:
        """The pictures, which have been drawn."""
        return tuple(self._load(name)[0] for name in names)

    def seconds(self, name: str) -> float:
        """How long the call that drew a picture took."""
        return self._load(name)[1]

    def there(self, name: str) -> bool:
        """Whether a picture was drawn."""
        return name in self._memory or (self._folder is not None and self._file(name).is_file())

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.png"

    def _keep(self, name: str, image: Image.Image, seconds: float) -> None:
        if self._folder is None:
            self._memory[name] = image, seconds
            return
        text = PngImagePlugin.PngInfo()
        text.add_text(_SECONDS, repr(seconds))
        write_png(image, self._file(name), text)

    def _load(self, name: str) -> tuple[Image.Image, float]:
        if self._folder is None:
            return self._memory[name]
        with Image.open(self._file(name)) as opened:
            seconds = float(opened.info[_SECONDS])
            return opened.convert("RGB"), seconds


def turns(count: int, begin: float) -> Iterator[int]:
    """The numbers below `count`, once around from the part `begin` of them."""
    if not 0 <= begin < 1:
        raise ValueError(f"begin: {begin} came; expected a part in [0, 1)")
    first = int(count * begin)
    yield from range(first, count)
    yield from range(first)


def _read(file: Path) -> dict[str, object] | None:
    """The facts in a file; None where there are none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
