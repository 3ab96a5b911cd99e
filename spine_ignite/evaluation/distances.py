"""Surface distances between two masks, in mm, with surfaces by area or by number of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.surface_elements import cube_codes, element_areas

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances of the parts of two surfaces to the other surface, and how much each part counts.

    Args:
        to_reference: of the parts of the prediction's surface, in mm.
        to_prediction: of the parts of the reference's surface, in mm.
        predicted: area in mm² of the parts of the prediction's surface; None: all count the same.
        reference: area in mm² of the parts of the reference's surface; None: all count the same.
    """

    to_reference: Array
    to_prediction: Array
    predicted: Array | None = None
    reference: Array | None = None


def surface_distances(
    reference: Mask, prediction: Mask, spacing: tuple[float, ...], surfaces: Surfaces = "area"
) -> SurfaceDistances:
    """Return the distance of every part of each mask's surface to the nearest of the other's.

    By area (Nikolov et al. 2021) the parts are the elements of :mod:`.surface_elements`, at the corners of voxels, and
    count as much as their area. By voxels, as in MONAI, they are the voxels with a neighbour (across a face) outside
    the mask, and each counts the same, however large the face is that it shows: on a grid of 1 x 1 x 4 mm the voxels of
    the two flat faces outweigh those of the rim, which has most of the area. What lies beyond the array is outside.

    Args:
        reference: ``(I, J, K)``, not empty.
        prediction: the same shape, not empty.
        spacing: mm between voxels along each axis.
        surfaces: what counts.
    """
    if surfaces == "voxels":
        first, second = (mask & ~ndimage.binary_erosion(mask, border_value=0) for mask in (reference, prediction))
        return SurfaceDistances(*_distances(first, second, spacing))
    codes = [cube_codes(mask) for mask in (reference, prediction)]
    first, second = ((code != 0) & (code != 255) for code in codes)
    areas = element_areas(spacing)
    return SurfaceDistances(*_distances(first, second, spacing), areas[codes[1][second]], areas[codes[0][first]])


def _distances(first: Mask, second: Mask, spacing: tuple[float, ...]) -> tuple[Array, Array]:
    to_first = ndimage.distance_transform_edt(~first, sampling=spacing)
    to_second = ndimage.distance_transform_edt(~second, sampling=spacing)
    return to_first[second], to_second[first]


def hausdorff_95(found: SurfaceDistances) -> float:
    """95th percentile Hausdorff distance (mm): the larger of the two directions' 95th percentiles.

    By area that is the least distance within which 95 % of a surface lie; by voxels the percentile is interpolated.
    """
    sides = ((found.to_reference, found.predicted), (found.to_prediction, found.reference))
    return max(_percentile_95(distances, areas) for distances, areas in sides)


def _percentile_95(distances: Array, areas: Array | None) -> float:
    if areas is None:
        return float(np.percentile(distances, 95))
    order = np.argsort(distances)
    shares = np.cumsum(areas[order])
    place = int(np.searchsorted(shares, 0.95 * shares[-1]))
    return float(distances[order[min(place, len(order) - 1)]])


def average_symmetric_distance(found: SurfaceDistances) -> float:
    """Average symmetric surface distance (mm): the mean over both surfaces together."""
    distances, weights = _both(found)
    return float(np.average(distances, weights=weights))


def normalised_surface_dice(found: SurfaceDistances, tolerance: float) -> float:
    """Normalised surface Dice (Nikolov et al. 2021): the share of both surfaces within ``tolerance`` mm."""
    distances, weights = _both(found)
    return float(np.average(distances <= tolerance, weights=weights))


def _both(found: SurfaceDistances) -> tuple[Array, Array | None]:
    distances = np.concatenate([found.to_reference, found.to_prediction])
    if found.predicted is None or found.reference is None:
        return distances, None
    return distances, np.concatenate([found.predicted, found.reference])
