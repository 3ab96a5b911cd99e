"""Surface measures, by area against the reference implementation, MONAI and solids with known answers.

By voxels they are tested with the other measures, in ``test_evaluation_cases.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_surface_dice
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray

from spine_ignite.evaluation.distances import (
    SurfaceDistances,
    average_symmetric_distance,
    hausdorff_95,
    normalised_surface_dice,
    surface_distances,
)
from spine_ignite.evaluation.measures import Surfaces

Mask = NDArray[np.bool_]
Triple = tuple[float, float, float]
GRID = (1.0, 1.0, 4.0)  # mm; sagittal slices of 4 mm


def ellipsoid(shape: tuple[int, ...], spacing: Triple, centre: Triple, radii: Triple) -> Mask:
    places = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"), -1)
    inside: Mask = (((places - np.array(centre)) / np.array(radii)) ** 2).sum(-1) <= 1
    return inside


# Made with surface_distance 0.1 (DeepMind), the authors' implementation: HD95, NSD at 1.5 mm, mean distance from the
# first surface and from the second, area of the first and of the second.
@pytest.mark.parametrize(
    ("spacing", "shape", "first", "second", "published"),
    [
        (
            (1.0, 1.0, 4.0), (40, 40, 12), ((20, 20, 22), (12, 9, 14)), ((21.5, 19, 24), (11, 10, 12)),
            (4.0, 0.776243495, 1.093951714, 0.781908629, 1892.372236, 1691.712136),
        ),
        (
            (0.6, 0.7, 3.3), (50, 44, 10), ((15, 15, 15), (9, 11, 8)), ((15.8, 15, 16.5), (9.5, 10, 9)),
            (3.3, 0.865799524, 0.507477587, 0.789842435, 1271.912915, 1359.306022),
        ),
        (
            (2.0, 1.0, 1.5), (20, 40, 26), ((19, 20, 19), (13, 8, 12)), ((19, 23, 19), (13, 8, 12)),
            (3.0, 0.4531736, 1.482390418, 1.482390418, 1628.323226, 1628.323226),
        ),
    ],
)  # fmt: skip
def test_by_area_it_is_the_reference_implementation(
    spacing: Triple, shape: tuple[int, ...], first: Any, second: Any, published: tuple[float, ...]
) -> None:
    found = surface_distances(ellipsoid(shape, spacing, *first), ellipsoid(shape, spacing, *second), spacing)
    assert found.reference is not None
    assert found.predicted is not None
    means = [
        np.average(distances, weights=areas)
        for distances, areas in ((found.to_prediction, found.reference), (found.to_reference, found.predicted))
    ]
    ours = hausdorff_95(found), normalised_surface_dice(found, 1.5), *means
    assert [*ours, found.reference.sum(), found.predicted.sum()] == pytest.approx(published, rel=1e-7)
    area = np.array(published[4:])
    assert average_symmetric_distance(found) == pytest.approx((published[2:4] * area).sum() / area.sum(), rel=1e-7)


@settings(max_examples=50)
@given(seed=st.integers(0, 9999), spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3), tolerance=st.floats(0.1, 6.0))
def test_by_area_it_is_monai_with_subvoxels(seed: int, spacing: Triple, tolerance: float) -> None:
    """MONAI gives the share within the tolerance, and distances and areas of which the other measures are made."""
    rng = np.random.default_rng(seed)
    masks = rng.random((2, 7, 8, 6)) < rng.uniform(0.05, 0.8, (2, 1, 1, 1))
    masks[:, 3, 3, 3] = True
    found = surface_distances(masks[0], masks[1], spacing)
    reference, prediction = (torch.from_numpy(mask)[None, None].float() for mask in masks)
    edges, both, areas = get_edge_surface_distance(
        prediction[0, 0], reference[0, 0], spacing=spacing, use_subvoxels=True, symmetric=True
    )
    sides = [
        (np.asarray(distance, float), np.asarray(area[edge], float))
        for edge, distance, area in zip(edges, both, areas, strict=True)
    ]
    if np.abs(np.concatenate([d for d, _ in sides]) - tolerance).min() > 1e-4:
        theirs = compute_surface_dice(
            prediction, reference, class_thresholds=[tolerance], include_background=True, spacing=list(spacing),
            use_subvoxels=True,
        )  # fmt: skip
        assert normalised_surface_dice(found, tolerance) == pytest.approx(float(theirs), abs=1e-5)
    total = sum(float((d * a).sum()) for d, a in sides) / sum(float(a.sum()) for _, a in sides)
    assert average_symmetric_distance(found) == pytest.approx(total, rel=1e-5)
    # The least distance that 95 % of each surface lie within: what lies beyond has at most 5 % of the area.
    ours = hausdorff_95(found)
    assert all(a[d > ours + 1e-4].sum() <= 0.05001 * a.sum() for d, a in sides)
    assert any(a[d > ours - 1e-4].sum() >= 0.04999 * a.sum() for d, a in sides)


@pytest.mark.parametrize("surfaces", ["area", "voxels"])
@pytest.mark.parametrize(("inner", "outer"), [(16.0, 20.0), (12.0, 24.0)])
def test_spheres_about_one_centre_are_as_far_apart_as_their_radii(
    surfaces: Surfaces, inner: float, outer: float
) -> None:
    """Up to the grid, whose steps are 4 mm near the poles."""
    shape, centre = (60, 60, 15), (29.5, 29.5, 28.0)
    small, large = (ellipsoid(shape, GRID, centre, (r, r, r)) for r in (inner, outer))
    found = surface_distances(small, large, GRID, surfaces)
    assert average_symmetric_distance(found) == pytest.approx(outer - inner, abs=1.0)
    assert hausdorff_95(found) == pytest.approx(outer - inner, abs=2.0)
    assert normalised_surface_dice(found, outer - inner + 2.0) > 0.98
    assert normalised_surface_dice(found, outer - inner - 3.0) < 0.1


def test_a_rim_counts_by_its_area() -> None:
    """A plate of 40 x 40 x 12 mm is drawn 2 mm too large in its plane, and nowhere else.

    Voxels of the faces, of 1 mm², count as much as those of the rims, of 4 mm². By area, off by more than 1.5 mm are
    the sides of the smaller plate, and of the larger one all but its faces.
    """
    small, large = np.zeros((2, 60, 60, 7), bool)
    small[10:50, 10:50, 2:5] = True
    large[8:52, 8:52, 2:5] = True
    upright, bevel, corner = 4 * 8 * np.hypot(1, 1) / 2, np.hypot(1, 4) / 2, np.sqrt(16 + 16 + 1) / 8

    def parts(side: int) -> tuple[float, float, float]:
        """Areas of the sides, of their bevels towards the faces with the corners, and of the faces."""
        length = side - 1  # between the centres of the outermost voxels
        return 4 * length * 8 + upright, 8 * length * bevel + 8 * corner, 2 * length**2

    off = parts(40)[0] + sum(parts(44)[:2])
    by_area = surface_distances(small, large, GRID)
    expected = 1 - off / (sum(parts(40)) + sum(parts(44)))
    assert normalised_surface_dice(by_area, 1.5) == pytest.approx(expected)
    assert hausdorff_95(by_area) == pytest.approx(2.0)
    by_voxels = surface_distances(small, large, GRID, "voxels")
    assert normalised_surface_dice(by_voxels, 1.5) > expected + 0.1


@pytest.mark.parametrize("surfaces", ["area", "voxels"])
def test_a_box_moved_along_an_axis(surfaces: Surfaces) -> None:
    """By one slice of 4 mm: its two faces are 4 mm away, all else is at most there."""
    box, moved = np.zeros((2, 30, 30, 12), bool)
    box[5:25, 5:25, 3:8] = True
    moved[5:25, 5:25, 4:9] = True
    found = surface_distances(box, moved, GRID, surfaces)
    assert max(found.to_reference.max(), found.to_prediction.max()) == 4.0
    assert hausdorff_95(found) == 4.0
    assert normalised_surface_dice(found, 4.0) == 1.0
    assert average_symmetric_distance(surface_distances(box, box, GRID, surfaces)) == 0


def test_the_percentile_is_of_the_area() -> None:
    """Nine tenths of the area at 1 mm, the rest at 7 mm, of one part; the other way all is at 0."""
    found = SurfaceDistances(np.array([7.0, 1.0]), np.zeros(2), np.array([1.0, 9.0]), np.ones(2))
    assert hausdorff_95(found) == 7.0
    found = SurfaceDistances(np.array([7.0, 1.0]), np.zeros(2), np.array([0.4, 9.6]), np.ones(2))
    assert hausdorff_95(found) == 1.0
