"""Smooth random textures, drawn once and moved about: filtering noise for each slice would take longest of all."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SIZE = 512  # points along each side; textures wrap around
_FIELDS = 4
# Standard deviations of the filter in points: fine grain, clouds, streaks along the columns.
KINDS = {"fine": (0.7, 0.7), "coarse": (5.5, 5.5), "streaks": (7.0, 0.9)}


@cache
def _bank(kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng((17, sorted(KINDS).index(kind)))
    fields = [
        ndimage.gaussian_filter(rng.standard_normal((_SIZE, _SIZE), np.float32), KINDS[kind], mode="wrap")
        for _ in range(_FIELDS)
    ]
    # Twice, side by side: columns that wrap around are a plain range.
    bank = np.stack([np.tile(np.clip(0.5 * field / field.std(), -1.5, 1.5), (1, 2)) for field in fields])
    bank = bank.astype(np.float32)
    bank.setflags(write=False)
    return bank


def texture(kind: str, seed: int, place: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a field with mean 0 and deviation 0.5 that changes slowly with ``place``, deterministic in all arguments.

    Args:
        kind: ``fine``, ``coarse`` or ``streaks``.
        seed: of the volume.
        place: position across the slices, in slices; fields that are 2 apart share nothing.
        shape: rows and columns.
    """
    step = int(np.floor(place / 2))
    phase = 0.5 * np.pi * (place / 2 - step)
    first, second = (_crop(kind, seed, step + side, shape) for side in (0, 1))
    return np.asarray(np.float32(np.cos(phase)) * first + np.float32(np.sin(phase)) * second)


def _crop(kind: str, seed: int, step: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    rng = np.random.default_rng((seed, step + 1_000_000))
    field = _bank(kind)[int(rng.integers(_FIELDS))]
    top, left = (int(n) for n in rng.integers(0, _SIZE, 2))
    rows = np.arange(top, top + shape[0]) % _SIZE
    if shape[1] > _SIZE:
        return np.asarray(field[np.ix_(rows, np.arange(left, left + shape[1]) % _SIZE)])
    return np.asarray(field[:, left : left + shape[1]].take(rows, axis=0))
