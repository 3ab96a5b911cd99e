"""An image on the grid of another one, by what their headers say about where they lie."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.errors import DataError
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.volume import Volume

_FWHM = 2 * math.sqrt(2 * math.log(2))  # of a Gaussian, in standard deviations
_COARSER = 1.05  # voxels that are larger than the image's by less average nothing
_EDGE = 0.5 + 1e-3  # of a voxel, from its centre; headers round


def resampled(image: Volume, reference: Volume) -> Volume:
    """Return an image on the grid of another of the same patient: nothing is registered, headers are believed.

    Linear between voxels; where the other's are larger, the image is blurred before as much as their thickness blurs.
    Images on one grid, in whatever order of axes, are taken as they are.

    Args:
        image: ``(I', J', K')``.
        reference: ``(I, J, K)``.

    Returns:
        float32 ``(I, J, K)``; ``outside`` marks what lies outside the image's field of view, which has the value of its
        nearest voxel.

    Source: Cardoso et al., "Scale factor point spread function matching", MICCAI 2015, for the width of the blur.
    """
    array = np.asarray(image.array, np.float32)
    try:
        same = aligned(replace(image, array=array), reference)
    except DataError:
        pass
    else:
        outside = None if image.outside is None else aligned(replace(image, array=image.outside), reference)
        return replace(image, array=same, affine=reference.affine, outside=outside)
    to_image = np.linalg.inv(image.affine) @ reference.affine
    linear, start, shape = to_image[:3, :3], to_image[:3, 3], reference.array.shape
    found = ndimage.affine_transform(_blurred(array, linear), linear, start, shape, order=1, mode="nearest")
    outside = ~_within(to_image, shape, image.array.shape)
    if image.outside is not None:
        moved = ndimage.affine_transform(
            image.outside.astype(np.float32), linear, start, shape, order=1, mode="nearest"
        )
        outside |= moved > 0
    return replace(image, array=found, affine=reference.affine, outside=outside if outside.any() else None)


def overlap(image: Volume, reference: Volume) -> float:
    """Return which share of the field of view of ``reference`` lies in that of ``image``, 0 to 1."""
    to_image = np.linalg.inv(image.affine) @ reference.affine
    return float(_within(to_image, reference.array.shape, image.array.shape).mean())


def _blurred(array: NDArray[np.float32], linear: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur along each axis as far as a voxel of the other grid reaches along it, beyond the image's own."""
    reach = np.abs(linear).max(axis=1)
    sigma = [math.sqrt(size**2 - 1) / _FWHM if size > _COARSER else 0.0 for size in reach]
    if not any(sigma):
        return array
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(array, sigma, mode="nearest")
    return blurred


def _within(to_image: NDArray[np.float64], shape: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which voxels of a grid ``(I, J, K)`` have their centre in a voxel of an image."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    inside = np.ones(shape, bool)
    for (di, dj, dk, start), length in zip(to_image[:3].astype(np.float32), size, strict=True):
        place = (di * i + start)[:, None, None] + (dj * j)[None, :, None] + (dk * k)[None, None, :]
        inside &= (place >= -_EDGE) & (place <= length - 1 + _EDGE)
    return inside
