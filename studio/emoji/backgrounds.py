"""Backgrounds: seven places, each a gradient with a texture drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["background"]

Picture = NDArray[np.float32]
_WORK = 64  # textures are made at this size and scaled up: fast, and soft enough for a small VAE


def background(name: str, size: int, rng: np.random.Generator) -> Picture:
    """An empty place, `[size, size, 3]` in [0, 1]; the same rng state gives the same picture."""
    if name not in _PLACES:
        raise ValueError(f"background: got {name!r}, expected one of {sorted(_PLACES)}")
    small = np.clip(_PLACES[name](rng) * rng.uniform(0.94, 1.04), 0, 1)
    image = Image.fromarray((small * 255).astype(np.uint8))
    large = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(large, np.float32) / np.float32(255)


def _ramp(*stops: tuple[float, tuple[int, int, int]]) -> Picture:
    """A vertical gradient through (height fraction, sRGB) stops, `[W, W, 3]`."""
    y = (np.arange(_WORK) + 0.5) / _WORK
    at = [stop[0] for stop in stops]
    columns = [np.interp(y, at, [stop[1][c] / 255 for stop in stops]) for c in range(3)]
    return np.repeat(np.stack(columns, -1)[:, None, :], _WORK, axis=1).astype(np.float32)


def _speckle(rng: np.random.Generator, cell: tuple[int, int], strength: float) -> Picture:
    """Random light and dark cells of `cell` pixels, `[W, W, 1]`, mean 0."""
    h, w = -(-_WORK // cell[0]), -(-_WORK // cell[1])
    grid = rng.normal(0, strength, (h, w)).astype(np.float32)
    return np.kron(grid, np.ones(cell, np.float32))[:_WORK, :_WORK, None]


def _split(rng: np.random.Generator, low: float, high: float) -> tuple[float, NDArray[np.float32]]:
    """A horizon height and its ground mask `[W, W, 1]`, soft over one pixel."""
    at = float(rng.uniform(low, high))
    y = (np.arange(_WORK, dtype=np.float32) + 0.5) / _WORK
    ground = np.clip((y - at) * _WORK + 0.5, 0, 1)[:, None, None]
    return at, np.broadcast_to(ground, (_WORK, _WORK, 1)).astype(np.float32)


def _grass(rng: np.random.Generator) -> Picture:
    _, ground = _split(rng, 0.22, 0.38)
    sky = _ramp((0, (140, 200, 250)), (0.4, (206, 232, 252)))
    field = _ramp((0.25, (124, 190, 76)), (1, (64, 140, 44))) + _speckle(rng, (4, 1), 0.035)
    return sky * (1 - ground) + field * ground


def _snow(rng: np.random.Generator) -> Picture:
    _, ground = _split(rng, 0.30, 0.45)
    sky = _ramp((0, (150, 170, 196)), (0.45, (196, 208, 224)))
    field = _ramp((0.3, (236, 242, 250)), (1, (250, 252, 255))) + _speckle(rng, (2, 4), 0.012)
    flakes = (rng.random((_WORK, _WORK, 1)) < 0.02).astype(np.float32) * 0.25
    return sky * (1 - ground) + field * ground + flakes


def _beach(rng: np.random.Generator) -> Picture:
    at, ground = _split(rng, 0.48, 0.6)
    y = (np.arange(_WORK) + 0.5) / _WORK
    sea = ((y > at - 0.2) & (y <= at)).astype(np.float32)[:, None, None]
    sky = _ramp((0, (110, 196, 246)), (0.5, (190, 232, 250)))
    sand = _ramp((0.5, (246, 224, 164)), (1, (228, 192, 124))) + _speckle(rng, (1, 1), 0.03)
    waves = np.array((0.10, 0.55, 0.72), np.float32) + _speckle(rng, (1, 8), 0.03)
    return (sky * (1 - sea) + waves * sea) * (1 - ground) + sand * ground


def _night(rng: np.random.Generator) -> Picture:
    _, ground = _split(rng, 0.72, 0.86)
    sky = _ramp((0, (10, 12, 44)), (0.8, (32, 36, 92)))
    stars = (rng.random((_WORK, _WORK, 1)) < 0.012).astype(np.float32) * 0.7
    hills = _ramp((0.7, (14, 26, 30)), (1, (8, 14, 18)))
    return (sky + stars) * (1 - ground) + hills * ground


def _sunset(rng: np.random.Generator) -> Picture:
    at, ground = _split(rng, 0.66, 0.78)
    sky = _ramp((0, (92, 56, 132)), (0.35, (220, 88, 110)), (0.7, (255, 176, 84)))
    y, x = np.mgrid[0:_WORK, 0:_WORK] / _WORK
    radius = np.hypot(x - rng.uniform(0.15, 0.85), y - at)
    sun = np.clip((0.12 - radius) * 30, 0, 1)[..., None].astype(np.float32)
    glow = np.array((1, 0.94, 0.62), np.float32)
    land = _ramp((0.65, (112, 52, 72)), (1, (56, 26, 52)))
    return (sky * (1 - sun) + glow * sun) * (1 - ground) + land * ground


def _water(rng: np.random.Generator) -> Picture:
    deep = _ramp((0, (70, 186, 214)), (1, (16, 92, 160)))
    y, x = np.mgrid[0:_WORK, 0:_WORK].astype(np.float32)
    phase, wavelength = rng.uniform(0, 6.28), rng.uniform(7, 10)
    ripple = np.sin(6.28 * y / wavelength + 1.5 * np.sin(6.28 * x / 21 + phase) + phase)
    return deep + 0.05 * np.maximum(ripple, 0)[..., None] + _speckle(rng, (1, 4), 0.01)


def _plain(rng: np.random.Generator) -> Picture:
    tone = rng.uniform(0.80, 0.97) + rng.uniform(-0.05, 0.03, 3)
    return np.broadcast_to(tone.astype(np.float32), (_WORK, _WORK, 3)).copy()


_PLACES: dict[str, Callable[[np.random.Generator], Picture]] = {
    "grass": _grass,
    "snow": _snow,
    "beach": _beach,
    "night": _night,
    "sunset": _sunset,
    "water": _water,
    "plain": _plain,
}
