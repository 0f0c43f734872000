"""Pictures drawn by other processes are those their seeds say, and a worker's failure is told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch

from attention_studio.emoji.train.painters import Painters
from attention_studio.emoji.train.pictures import Captioned, Phase, captioned
from attention_studio.emoji.words import CORE_NOUNS


def _source(worker: int) -> Iterator[Captioned]:
    return captioned(Phase.simple, (3, worker), CORE_NOUNS, 32)


def _lengths(captions: list[str]) -> torch.Tensor:
    return torch.tensor([[len(caption)] for caption in captions])


def test_each_worker_draws_what_its_number_says() -> None:
    images, lengths = Painters(_source, _lengths, workers=1).wait()
    drawn = list(islice(_source(0), len(images)))
    assert np.array_equal(images.numpy(), np.stack([image for _, image in drawn]))
    assert torch.equal(lengths, _lengths([caption for caption, _ in drawn]))


def test_a_worker_that_fails_stops_the_training() -> None:
    def broken(worker: int) -> Iterator[Captioned]:
        yield from islice(_source(worker), 3)
        raise OSError("no such sprite")

    painters = Painters(broken, _lengths, workers=1)
    with pytest.raises(RuntimeError, match="a worker that draws training pictures failed"):
        painters.wait()
