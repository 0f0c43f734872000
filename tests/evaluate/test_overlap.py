"""Overlap of maps and masks on cases whose answer is plain, and the colours of a heat map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from attention_studio.evaluate.heat import overlay
from attention_studio.evaluate.overlap import area_mask, cut, iou, mass, upsampled


@pytest.fixture
def mask() -> torch.Tensor:
    """128 px; the thing fills cells 4 to 7 of 16, in both directions."""
    whole = torch.zeros(128, 128, dtype=torch.bool)
    whole[32:64, 32:64] = True
    return whole


def test_a_map_that_is_the_mask(mask: torch.Tensor) -> None:
    covered = area_mask(mask, (16, 16))
    assert covered.sum() == 16
    assert iou(cut(covered), covered) == 1.0
    assert mass(covered, covered) == 1.0
    assert iou(cut(0.1 + 0.01 * covered), covered) == 1.0  # level and spread do not matter


def test_a_map_beside_the_mask(mask: torch.Tensor) -> None:
    covered = area_mask(mask, (16, 16))
    shifted = covered.roll(2, 1)  # half of it still inside: 8 of 24 cells
    assert iou(cut(shifted), covered) == pytest.approx(8 / 24)
    assert mass(shifted, covered) == pytest.approx(0.5)
    assert iou(cut(covered.roll(8, 0)), covered) == 0.0


def test_a_flat_map_is_nowhere(mask: torch.Tensor) -> None:
    covered = area_mask(mask, (16, 16))
    assert not cut(torch.full((16, 16), 0.2)).any()
    assert iou(cut(torch.full((16, 16), 0.2)), covered) == 0.0
    assert mass(torch.full((16, 16), 0.2), covered) == pytest.approx(16 / 256)


def test_a_thing_thinner_than_a_cell_has_cells() -> None:
    thin = torch.zeros(128, 128, dtype=torch.bool)
    thin[32:64, 33:36] = True
    covered = area_mask(thin, (16, 16))
    assert covered.max() < 0.5
    assert iou(covered > 0, covered) == 1.0


def test_full_size(mask: torch.Tensor) -> None:
    heat = area_mask(mask, (16, 16))
    assert iou(cut(upsampled(heat, (128, 128)), 0.5), mask.float()) > 0.9


def test_the_overlay_is_bright_where_the_map_is_high() -> None:
    heat = np.zeros((16, 16), np.float32)
    heat[2:6, 10:14] = 1
    picture = np.asarray(overlay(Image.new("RGB", (64, 64), "gray"), heat).convert("L"), np.float32)
    assert picture.shape == (256, 256)
    assert picture[48:80, 176:208].mean() > picture[160:, :96].mean() + 60
    flat = overlay(Image.new("RGB", (64, 64)), np.ones((8, 8), np.float32), np.ones((64, 64), bool))
    assert flat.getpixel((0, 0)) == (255, 255, 255)  # the rim of the mask
