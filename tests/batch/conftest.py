"""A warm tiny session, and batches on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attention_studio import Session
from attention_studio.batch.plan import Settings
from attention_studio.batch.run import Batch

from .rows import MakeBatch, write_manifest


@pytest.fixture(scope="session")
def warm(tiny_sd: Path) -> Session:
    found = Session(str(tiny_sd))
    found.warm()
    return found


@pytest.fixture
def make_batch(tmp_path: Path, tiny_sd: Path) -> MakeBatch:
    """A batch of the given rows on the tiny model, one step."""

    def make(
        rows: Iterable[Mapping[str, Any] | str], *, out: str = "out", steps: int = 1, **more: Any
    ) -> Batch:
        manifest = write_manifest(tmp_path / "rows.jsonl", rows)
        defaults = {"model": str(tiny_sd), "steps": steps}
        names = [name for name in more if name in Settings.__dataclass_fields__]
        settings = Settings(manifest, "jsonl", defaults)
        settings = replace(settings, **{name: more.pop(name) for name in names})
        return Batch(settings, tmp_path / out, **({"min_free": 0} | more))

    return make


@pytest.fixture
def broken(warm: Session, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Makes the denoiser do something before each of its calls."""

    def breaks(act: Callable[..., None]) -> None:
        original = warm.pipe.unet.forward

        def forward(sample: Any, *args: Any, **kwargs: Any) -> Any:
            act(sample)
            return original(sample, *args, **kwargs)

        monkeypatch.setattr(warm.pipe.unet, "forward", forward)

    return breaks
