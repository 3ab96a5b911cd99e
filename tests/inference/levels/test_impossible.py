from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import name_column
from spine_ignite.inference.levels.impossible import impossible
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import PhantomOptions, make_phantom
from spine_ignite.volumes.geometry import SliceGrid

Labels = NDArray[np.uint8]
Affine = NDArray[np.float64]
SCHEME = load_scheme("spine")


@pytest.fixture(scope="module")
def spine() -> tuple[Labels, Affine]:
    phantom = make_phantom(5, 0, 2, options=PhantomOptions("t2", "lumbar", 0.0, "spine"))
    return SCHEME.to_indices(phantom.label), phantom.affine


def said(labels: Labels, affine: Affine) -> list[str]:
    column = name_column(np.ascontiguousarray(labels), affine, SCHEME)
    found = impossible(column)
    assert [reason.text for reason in reasons(column)][: len(found)] == found
    return found


def flipped(labels: Labels, affine: Affine, world: int) -> Labels:
    """Mirrored along the slices (0), from head to foot (1), or from front to back (2), with directions that stay."""
    return np.flip(labels, SliceGrid.from_geometry(labels.shape, affine).axes[world])


def kept(labels: Labels, affine: Affine, axis: int) -> tuple[Labels, Affine]:
    """Stored the other way round along an axis, with directions that say so."""
    turned = affine.copy()
    turned[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
    turned[:3, axis] *= -1
    return np.flip(labels, axis), turned


@pytest.mark.parametrize("variety", [0.0, 1.0])
@pytest.mark.parametrize("number", range(3))
def test_spines_of_many_kinds_are_possible(variety: float, number: int) -> None:
    phantom = make_phantom(8, 1, number, options=PhantomOptions("mixed", "any", variety, "spine"))
    assert said(SCHEME.to_indices(phantom.label), phantom.affine) == []


def test_how_a_volume_is_stored_does_not_matter(spine: tuple[Labels, Affine]) -> None:
    for axis in range(3):
        assert said(*kept(*spine, axis)) == []
    labels, affine = spine
    assert said(labels.transpose(1, 2, 0), affine[:, [1, 2, 0, 3]]) == []


def test_an_image_upside_down_is_told_by_sacrum_cord_and_names(spine: tuple[Labels, Affine]) -> None:
    labels, affine = spine
    told = said(flipped(labels, affine, 1), affine)
    assert "the sacrum lies above the vertebrae: the image is upside down, or its directions are wrong" in told
    cord = "the cord lies in the lower part of the canal: the image is upside down, or its directions are wrong"
    names = "the names of the vertebrae run from above to below: the image is upside down, or its directions are wrong"
    without = labels.copy()
    without[labels == SCHEME.names.index("S")] = 0
    assert said(flipped(without, affine, 1), affine) == [cord, names]
    without[labels == SCHEME.names.index("cord")] = SCHEME.names.index("canal")
    assert said(flipped(without, affine, 1), affine) == [names]


def test_vertebrae_that_grow_upwards_are_told_whatever_they_are_called() -> None:
    """As a network invents them in an image that is upside down: all else is where it should be."""
    phantom = make_phantom(6, 1, 3, options=PhantomOptions("t2", "lumbar", 0.0, "spine"))
    labels, affine = SCHEME.to_indices(phantom.label), phantom.affine
    order = [c.index for c in SCHEME.classes if c.kind == "vertebra" and (labels == c.index).any()]
    assert said(labels, affine) == []
    turned = flipped(labels, affine, 1)
    invented = np.where(np.isin(turned, order), turned, 0)
    for low, high in zip(order, reversed(order), strict=True):
        invented[turned == high] = low
    told = said(invented, affine)
    growth = "the vertebrae grow from below to above: the image is upside down, or its directions are wrong"
    assert told == [growth]


def test_a_mirrored_image_is_told_by_the_canal_or_the_sacrum(spine: tuple[Labels, Affine]) -> None:
    labels, affine = spine
    by_canal = "the canal lies in front of the vertebrae: front and back are mirrored, or its directions are wrong"
    by_sacrum = "the sacrum lies in front of the column: front and back are mirrored, or no spine is seen"
    assert set(said(flipped(labels, affine, 2), affine)) == {by_canal, by_sacrum}
    for names, left in ((("canal", "cord"), by_sacrum), (("S",), by_canal)):
        gone = np.isin(labels, [SCHEME.names.index(name) for name in names])
        assert said(flipped(np.where(gone, 0, labels), affine, 2), affine) == [left]
    assert said(flipped(labels, affine, 0), affine) == []  # left and right cannot be told


def test_turned_by_half_a_turn_both_are_told(spine: tuple[Labels, Affine]) -> None:
    labels, affine = spine
    assert len(said(flipped(flipped(labels, affine, 1), affine, 2), affine)) >= 2


def test_slices_in_another_plane_are_told_by_their_thickness(spine: tuple[Labels, Affine]) -> None:
    labels, affine = spine
    grid = SliceGrid.from_geometry(labels.shape, affine)
    for world, plane in ((1, "axial"), (2, "coronal")):
        thick = affine.copy()
        thick[:3, grid.axes[world]] *= 5.0 / np.linalg.norm(affine[:3, grid.axes[world]])
        thick[:3, grid.axes[0]] *= 1.0 / np.linalg.norm(affine[:3, grid.axes[0]])
        assert f"the slices are {plane}, not sagittal" in said(labels, thick)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]
    assert "the slices are turned by 3" in said(labels, turn @ affine)[0]


def test_one_slice_is_not_enough(spine: tuple[Labels, Affine]) -> None:
    labels, affine = spine
    axis = SliceGrid.from_geometry(labels.shape, affine).axes[0]
    middle = labels.shape[axis] // 2
    assert said(labels.take([middle], axis), affine) == ["there is only one slice"]
    assert said(labels.take([middle, middle + 1], axis), affine) == ["there are only two slices"]
    assert said(np.zeros_like(labels.take([middle], axis)), affine) == ["there is only one slice"]


@pytest.mark.parametrize(("scale", "size"), [(0.5, "close together"), (2.0, "far apart")])
def test_sizes_that_no_adult_has_are_told(spine: tuple[Labels, Affine], scale: float, size: str) -> None:
    labels, affine = spine
    other = affine @ np.diag([scale, scale, scale, 1])
    assert any(f"vertebrae lies too {size} for an adult" in reason for reason in said(labels, other))
