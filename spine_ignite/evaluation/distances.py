"""Surface distances between two masks, in mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def surface_distances(
    reference: Mask, prediction: Mask, spacing: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of every surface voxel of each mask to the other mask's surface.

    The surface of a mask are its voxels with a neighbour (across a face) outside the mask or the volume.

    Args:
        reference: ``(I, J, K)``, not empty.
        prediction: the same shape, not empty.
        spacing: mm between voxels along each axis.

    Returns:
        Distances from the prediction's surface to the reference's, and from the reference's to the prediction's, in mm.
    """
    first, second = _surface(reference), _surface(prediction)
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)
    return to_first[second], to_second[first]


def hausdorff_95(to_reference: NDArray[np.float64], to_prediction: NDArray[np.float64]) -> float:
    """95th percentile Hausdorff distance (mm): the larger of the two directions' 95th percentiles."""
    return float(max(np.percentile(to_reference, 95), np.percentile(to_prediction, 95)))


def average_symmetric_distance(to_reference: NDArray[np.float64], to_prediction: NDArray[np.float64]) -> float:
    """Average symmetric surface distance (mm): the mean over the surface voxels of both masks together."""
    return float(np.concatenate([to_reference, to_prediction]).mean())


def normalised_surface_dice(
    to_reference: NDArray[np.float64], to_prediction: NDArray[np.float64], tolerance: float
) -> float:
    """Normalised surface Dice (Nikolov et al. 2021): the share of both surfaces within ``tolerance`` mm of the other.

    Surfaces are counted in voxels, as in MONAI, not in area.
    """
    distances = np.concatenate([to_reference, to_prediction])
    return float((distances <= tolerance).mean())


def _surface(mask: Mask) -> Mask:
    """Surface voxels; what lies beyond the array counts as outside, so a crop to the mask changes nothing."""
    surface: Mask = mask & ~ndimage.binary_erosion(mask, border_value=0)
    return surface
