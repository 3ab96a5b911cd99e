from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_ignite.errors import DataError
from spine_ignite.volumes.geometry import SliceGrid, sagittal_axis

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]


def affine_of(axes: str, spacing: tuple[float, float, float], degrees: float = 0.0) -> NDArray[np.float64]:
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * spacing[axis]
    a = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    affine = turn @ affine
    affine[:3, 3] = (5.0, -7.0, 11.0)
    return affine


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("degrees", [0.0, 12.0])
def test_slices_run_right_to_left_rows_down_columns_back(axes: str, degrees: float) -> None:
    """World positions, written into the voxels, must change as the slices promise, whatever the storage order."""
    shape = (5, 6, 7)
    affine = affine_of(axes, (1.5, 2.0, 3.0), degrees)
    grid = SliceGrid.from_geometry(shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    assert sagittal_axis(affine) == grid.axes[0]
    x, y, z = (grid.image_to_slices(np.ascontiguousarray(world[..., k])) for k in range(3))
    assert (np.diff(x, axis=0) < 0).all(), "slices from right (+x) to left"
    assert (np.diff(z, axis=1) < 0).all(), "rows from superior (+z) to inferior"
    assert (np.diff(y, axis=2) < 0).all(), "columns from anterior (+y) to posterior"


@given(
    axes=st.sampled_from(ORIENTATIONS),
    turns=st.tuples(*[st.floats(-15, 15)] * 3),
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    seed=st.integers(0, 2**16),
)
def test_oblique_volumes_are_cut_along_their_nearest_axes_and_put_back(
    axes: str, turns: tuple[float, float, float], shape: tuple[int, int, int], seed: int
) -> None:
    """Tilted about all three world axes by up to 15 degrees each, as scanners do."""
    affine = affine_of(axes, (1.5, 0.7, 4.0))
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() @ affine[:3, :3]
    grid = SliceGrid.from_geometry(shape, affine)
    letters = [axes[axis] for axis in grid.axes]
    assert [letter in pair for letter, pair in zip(letters, ("LR", "SI", "AP"), strict=True)] == [True] * 3
    world = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ affine[:3, :3].T
    for k, axis in ((0, 0), (2, 1), (1, 2)):  # right to left, head to foot, front to back
        assert (np.diff(grid.image_to_slices(world[..., k]), axis=axis) < 0).all()
    label = np.random.default_rng(seed).integers(0, 20, shape).astype(np.uint8)
    np.testing.assert_array_equal(grid.to_volume(grid.label_to_slices(label)), label)


@given(
    axes=st.sampled_from(ORIENTATIONS),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 2**16),
)
def test_orientation_is_undone_exactly(axes: str, shape: tuple[int, int, int], seed: int) -> None:
    label = np.random.default_rng(seed).integers(0, 20, shape).astype(np.uint8)
    grid = SliceGrid.from_geometry(shape, affine_of(axes, (1.0, 0.7, 4.0)))
    np.testing.assert_array_equal(grid.to_volume(grid.label_to_slices(label)), label)
    assert SliceGrid.from_dict(grid.to_dict()) == grid


@given(rows=st.integers(8, 60), columns=st.integers(8, 60), spacing=st.floats(0.4, 3.0), native=st.floats(0.4, 3.0))
def test_resampling_keeps_the_extent(rows: int, columns: int, spacing: float, native: float) -> None:
    grid = SliceGrid.from_geometry((columns, rows, 3), affine_of("PSR", (native, native, 4.0)), (spacing, spacing))
    assert grid.size[0] * grid.spacing[0] == pytest.approx(rows * native)
    assert grid.size[1] * grid.spacing[1] == pytest.approx(columns * native)
    assert grid.size == (max(1, round(rows * native / spacing)), max(1, round(columns * native / spacing)))


@given(factor=st.floats(0.55, 2.2), row=st.floats(20, 44), column=st.floats(20, 44))
def test_a_structure_stays_where_it_is_through_resampling_and_back(factor: float, row: float, column: float) -> None:
    """The centre of mass of a disc survives going to the common spacing and back; half a pixel off would show."""
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - row) ** 2 + (columns - column) ** 2 < 14**2).astype(np.float32)
    volume = np.ascontiguousarray(disc[::-1].T[:, :, None])  # axes P, S, R
    grid = SliceGrid.from_geometry(volume.shape, affine_of("PSR", (1, 1, 4)), (factor, factor))
    back = grid.resize_logits(torch.from_numpy(grid.image_to_slices(volume))[:, None]).numpy()[0, 0]
    assert back.shape == (64, 64)
    for axis, index in enumerate((rows, columns)):
        here, there = (float((plane * index).sum() / plane.sum()) for plane in (disc, back))
        assert there == pytest.approx(here, abs=0.15), f"axis {axis}"


def test_thin_structures_keep_their_area_in_labels() -> None:
    """Stripes of 1 pixel at half resolution: nearest neighbour would drop or double them."""
    label = np.zeros((64, 64, 1), np.uint8)
    label[:, 20:23] = 1
    label[:, 23:26] = 2
    grid = SliceGrid.from_geometry(label.shape, affine_of("PSR", (1, 1, 4)), (1.5, 1.5))
    slices = grid.label_to_slices(label)
    for value in (1, 2):
        assert (slices == value).sum() * 1.5**2 == pytest.approx((label == value).sum(), rel=0.2)


def test_what_is_not_a_volume_is_refused() -> None:
    with pytest.raises(DataError, match="three axes"):
        SliceGrid.from_geometry((4, 4), np.eye(4))
    with pytest.raises(DataError, match="singular"):
        SliceGrid.from_geometry((4, 4, 4), np.diag([1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(DataError, match="native slices have"):
        SliceGrid.from_geometry((4, 5, 6), np.eye(4)).to_volume(np.zeros((4, 5, 6), np.uint8))
