"""Training pictures drawn by processes of their own, for a device that outpaces one of them.

What a worker draws depends on the seed and its number alone; the order in which workers deliver,
and with it a run's result, depends on their speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue
from threading import Thread

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .pictures import Captioned

__all__ = ["Drawn", "Painters"]

Drawn = tuple[Tensor, Tensor]
"""Pictures `[B, H, W, 3]` uint8 and token ids `[B, T]`."""

Source = Callable[[int], Iterator[Captioned]]
"""Endless captions and pictures of the worker of that number."""

_CHUNK = 256  # pictures that a worker hands over at once
_WAITING = 4  # chunks of each worker that may wait to be taken


class Painters:
    """Draws from now on; `ready` never waits for a worker.

    Start it before anything is on a GPU: the workers are forked.
    """

    def __init__(
        self, source: Source, tokenize: Callable[[list[str]], Tensor], workers: int
    ) -> None:
        loader = DataLoader(
            _Scenes(source, tokenize),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=_WAITING,
        )
        self._chunks: Queue[Drawn] = Queue(maxsize=_WAITING)
        self._failed: list[BaseException] = []
        chunks = iter(loader)
        Thread(target=self._collect, args=(chunks,), daemon=True).start()

    def wait(self) -> Drawn:
        """The next chunk."""
        while True:
            self._check()
            try:
                return self._chunks.get(timeout=1.0)
            except Empty:
                continue

    def ready(self) -> Drawn | None:
        """The next chunk if there is one."""
        self._check()
        return None if self._chunks.empty() else self._chunks.get()

    def _collect(self, chunks: Iterator[Drawn]) -> None:
        try:
            for chunk in chunks:
                self._chunks.put(chunk)
        except BaseException as error:
            self._failed.append(error)

    def _check(self) -> None:
        if self._failed:
            raise RuntimeError("a worker that draws training pictures failed") from self._failed[0]


class _Scenes(IterableDataset[Drawn]):
    def __init__(self, source: Source, tokenize: Callable[[list[str]], Tensor]) -> None:
        self.source, self.tokenize = source, tokenize

    def __iter__(self) -> Iterator[Drawn]:
        worker = get_worker_info()
        yield from _chunks(self.source(0 if worker is None else worker.id), self.tokenize)


def _chunks(
    source: Iterator[Captioned], tokenize: Callable[[list[str]], Tensor]
) -> Iterator[Drawn]:
    while True:
        drawn: Sequence[Captioned] = [next(source) for _ in range(_CHUNK)]
        images = torch.from_numpy(np.stack([image for _, image in drawn]))
        yield images, tokenize([caption for caption, _ in drawn])
