"""Intensity normalisation, and the one path from a volume to the slices a network sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spine_ignite.data.geometry import SliceGrid
from spine_ignite.data.volumes import Volume


def normalise(slices: NDArray[np.float32], clip_percentiles: tuple[float, float]) -> NDArray[np.float32]:
    """Clip to the volume's percentiles, then shift and scale to mean 0 and standard deviation 1.

    Args:
        slices: the whole volume, ``(S, H, W)``.
        clip_percentiles: low and high, 0 to 100.
    """
    low, high = np.percentile(slices, clip_percentiles)
    result: NDArray[np.float32] = np.clip(slices, np.float32(low), np.float32(high))
    mean = result.mean(dtype=np.float64)
    # Slice by slice and in place: numpy's std would take twice the volume's memory for its differences.
    variance = sum(float(np.square(plane - mean, dtype=np.float64).sum()) for plane in result) / result.size
    result -= np.float32(mean)
    result /= np.float32(max(math.sqrt(variance), 1e-6))
    return result


def prepare_image(
    volume: Volume, spacing: tuple[float, float], clip_percentiles: tuple[float, float]
) -> tuple[NDArray[np.float32], SliceGrid]:
    """Turn an image into normalised slices ``(S, H, W)`` at the common spacing, and the grid to go back.

    Preprocessing and prediction both come through here, so that they cannot differ.

    Raises:
        DataError: the volume's geometry cannot be used.
    """
    grid = SliceGrid.from_geometry(volume.array.shape, volume.affine, spacing)
    return normalise(grid.image_to_slices(volume.array), clip_percentiles), grid
