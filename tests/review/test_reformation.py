"""Where the pictures of a column are in the patient, and that a bent column is whole in them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spine_ignite.labels import load_scheme
from spine_ignite.review.reformation import STEP, Surface, reform

SCHEME = load_scheme("mrspineseg")
SPACING = {"R": 3.0, "A": 1.0, "S": 1.5}


def bent_column() -> tuple[np.ndarray, np.ndarray]:
    """A column on the axes R, A, S that bends by 40 mm to the side and 40 to the front, and its centre by height."""
    labels = np.zeros((40, 120, 120), np.uint8)
    centres = np.zeros((120, 2))
    for k in range(120):
        bend = np.sin(np.pi * k / 119)
        right, front = 10 + 40 * bend / SPACING["R"], 40 + 40 * bend
        centres[k] = right, front
        level = 2 + k // 20  # L5 to T12 of 20 voxels each
        labels[round(right) - 3 : round(right) + 4, round(front) - 12 : round(front) + 13, k] = level
    return labels, centres


def affine_of(rotation: float) -> np.ndarray:
    """Voxels along R, A and S, turned about two axes."""
    c, s = np.cos(rotation), np.sin(rotation)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * [SPACING["R"], SPACING["A"], SPACING["S"]]
    affine[:3, 3] = (12.0, -30.0, 7.0)
    return affine


def world(surface: Surface, x: float, y: float) -> np.ndarray:
    height = y / STEP
    below = min(int(height), len(surface.knots) - 2)
    edge = surface.knots[below] + (height - below) * (surface.knots[below + 1] - surface.knots[below])
    return edge + x * surface.across


@pytest.mark.parametrize("rotation", [0.0, 0.2])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3)))[::2])
@pytest.mark.parametrize("flip", [False, True])
def test_what_is_seen_at_a_point_is_what_lies_there(rotation: float, axes: tuple[int, ...], flip: bool) -> None:
    labels, _ = bent_column()
    affine = affine_of(rotation)
    stored, where = labels.transpose(axes), affine[:, [*axes, 3]]
    if flip:
        stored = stored[::-1]
        where = where @ np.array([[-1, 0, 0, len(stored) - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for surface in reform(stored, where, SCHEME, stored.astype(np.float32)):
        height, width = surface.labels.shape
        rng = np.random.default_rng(0)
        rows, columns = rng.integers(0, height, 300), rng.integers(0, width, 300)
        points = np.array([world(surface, c + 0.5, r + 0.5) for r, c in zip(rows, columns, strict=True)])
        voxels = np.linalg.solve(affine, np.c_[points, np.ones(300)].T)[:3]
        # A point half way between two voxels may belong to either.
        sure = (np.abs(voxels - np.floor(voxels) - 0.5) > 0.02).all(axis=0)
        nearest = np.rint(voxels).astype(int).clip(0, np.array(labels.shape)[:, None] - 1)
        np.testing.assert_array_equal(surface.labels[rows, columns][sure], labels[tuple(nearest)][sure])
        assert sure.sum() > 200
        assert np.linalg.norm(surface.across) == pytest.approx(surface.pixel)


def test_a_column_that_bends_out_of_every_plane_is_whole_in_both_pictures() -> None:
    labels, centres = bent_column()
    assert not {2, 4, 7} <= set(np.unique(labels[15])), "a plane would show a part of it"
    levels = {2, 3, 4, 5, 6, 7}
    sagittal, coronal = reform(labels, affine_of(0.0), SCHEME)
    for surface in (sagittal, coronal):
        assert set(np.unique(surface.labels)) - {0} == levels
        assert surface.image is None
        middle = surface.labels[surface.labels.shape[0] // 2]
        assert middle.any()
    # Front to the left and right to the left: voxels count towards R and A.
    shown = [np.flatnonzero(coronal.labels[row]).mean() for row in (5, len(coronal.labels) // 2)]
    assert shown[1] < shown[0], "it bends to the right, which is on the left"
    shown = [np.flatnonzero(sagittal.labels[row]).mean() for row in (5, len(sagittal.labels) // 2)]
    assert shown[1] < shown[0], "it bends to the front, which is on the left"
    assert centres[60, 0] > centres[0, 0]
