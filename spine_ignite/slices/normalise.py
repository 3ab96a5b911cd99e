"""Intensity normalisation, and the one path from a volume to the slices a network sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.config.data import BorderRule
from spine_ignite.slices.border import Window, find_border, find_window
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.volume import Volume


def normalise(
    slices: NDArray[np.float32], clip_percentiles: tuple[float, float], outside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Clip to the volume's percentiles, then shift and scale to mean 0 and standard deviation 1.

    Args:
        slices: the whole volume, ``(S, H, W)``.
        clip_percentiles: low and high, 0 to 100.
        outside: pixels that do not count, not all; they become their slice's minimum (in a slice that has no others,
            the volume's), as the margin does that fills a slice up to the network's size. Nor do the pixels beside them
            count, blends of both where an image was turned, but they stay.
    """
    ignored = outside if outside is None else _grown(outside)
    counted = slices if ignored is None else slices[~ignored]
    low, high = np.percentile(counted, clip_percentiles)
    result: NDArray[np.float32] = np.clip(slices, np.float32(low), np.float32(high))
    planes = list(result) if ignored is None else [p[~o] for p, o in zip(result, ignored, strict=True)]
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in planes) / counted.size
    # Slice by slice and in place: numpy's std would take twice the volume's memory for its differences.
    variance = sum(float(np.square(plane - mean, dtype=np.float64).sum()) for plane in planes) / counted.size
    result -= np.float32(mean)
    result /= np.float32(max(math.sqrt(variance), 1e-6))
    if outside is not None:
        _fill(result, outside)
    return result


def _grown(outside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(outside, np.ones((1, 3, 3), bool))
    return outside if grown.all() else grown


def _fill(slices: NDArray[np.float32], outside: NDArray[np.bool_]) -> None:
    darkest = np.where(outside, np.float32(np.inf), slices).min(axis=(1, 2))
    darkest[np.isinf(darkest)] = darkest.min()
    np.copyto(slices, darkest[:, None, None], where=outside)


def prepare_image(
    volume: Volume,
    spacing: tuple[float, float],
    clip_percentiles: tuple[float, float],
    border: BorderRule = "inside",
    keep: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], SliceGrid]:
    """Turn an image into normalised slices ``(S, H, W)`` at the common spacing, and the grid to go back.

    Preprocessing and prediction both come through here, see :func:`.exam_slices.prepare`, so that they cannot differ.

    Args:
        volume: the image.
        spacing: of the slices (rows, columns), in mm.
        clip_percentiles: see :func:`normalise`.
        border: ``inside``: a constant border is cropped as far as it is a frame, and the rest of it does not count;
            ``all``: it is taken for a part of the image, unless its voxels had no value.
        keep: voxels ``(I, J, K)`` that are not cropped, as those of a mask.

    Raises:
        DataError: the volume's geometry cannot be used.
    """
    grid = SliceGrid.from_geometry(volume.array.shape, volume.affine, spacing)
    if border == "inside":
        window = find_window(grid.native_slices(np.asarray(volume.array, np.float32)))
        if keep is not None and keep.any():
            window = _joined(window, grid.native_slices(keep))
        grid = grid.cropped(window, spacing)
    return normalised_slices(volume, grid, clip_percentiles, border), grid


def normalised_slices(
    volume: Volume, grid: SliceGrid, clip_percentiles: tuple[float, float], border: BorderRule
) -> NDArray[np.float32]:
    """Return the normalised slices ``(S, H, W)`` of a volume whose grid is known; see :func:`prepare_image`."""
    native = grid.native_slices(np.asarray(volume.array, np.float32))
    outside = grid.native_slices(volume.outside) if volume.outside is not None else None
    if border == "inside":
        found = find_border(native)
        outside = found if outside is None else outside if found is None else outside | found
    if outside is None or not outside.any() or outside.all():
        return normalise(grid.resample(native), clip_percentiles)
    slices, outside = grid.resample_inside(native, outside)
    return normalise(slices, clip_percentiles, None if outside.all() else outside)


def _joined(window: Window, mask: NDArray[np.bool_]) -> Window:
    """The smallest window around another and what is marked in slices ``(S, H, W)``."""
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    top, bottom, left, right = window
    return (
        min(top, int(rows[0])),
        max(bottom, int(rows[-1]) + 1),
        min(left, int(columns[0])),
        max(right, int(columns[-1]) + 1),
    )
