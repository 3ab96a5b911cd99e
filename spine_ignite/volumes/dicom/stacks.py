"""Images become stacks: those of one series that lie behind one another, in order, with their place in the patient.

A stack whose slices are not where they should be is not mended: it carries the reason why it cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spine_ignite.names import counted
from spine_ignite.volumes.dicom.dicom_headers import TRAITS, Image

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_DIRECTION = 1e-4  # of a direction cosine
_SAME_PLACE = 0.01  # mm
_SAME_COLUMN = 1.0  # mm: the first pixels of a stack may shift this far across it before they are two side by side
_UNEVEN = 0.05  # of the distance between slices: a slice farther from its place than that is elsewhere
_ONE_PATIENT = "holds images of more than one patient ({}); remove those that do not belong to it"


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one series, by their place along the normal of the slices.

    Args:
        images: the slices in order.
        affine: voxel indices (column, row, slice) to RAS+ mm.
        fault: why it cannot be used; empty if it can.
        copies: images left out since they were there already.
        key: what names it in its source; see :mod:`.dicom_paths`.
    """

    images: tuple[Image, ...]
    affine: NDArray[np.float64]
    fault: str = ""
    copies: int = 0
    key: str = ""

    @property
    def first(self) -> Image:
        """The first slice, for what all have in common."""
        return self.images[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        rows, columns = self.first.size
        return columns, rows, len(self.images)

    @property
    def plane(self) -> str:
        """``sagittal``, ``coronal`` or ``axial``, whichever is nearest."""
        return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(_normal(self.first))))]


def stacks_of(images: Sequence[Image], same_pixels: Callable[[Image, Image], bool]) -> list[Stack]:
    """Sort the images of one series into stacks, those without a place in the patient left out.

    Args:
        images: of the series.
        same_pixels: tells whether two images are copies.
    """
    placed = [image for image in images if image.orientation and image.position and image.spacing]
    patients = {image.patient for image in images}
    groups = [part for group in _alike(placed) for part in _told_apart(group)]
    found = [_stack(group, same_pixels) for group in groups]
    if len(patients) > 1:
        most = max(sum(image.patient == one for image in images) for one in patients)
        fault = _ONE_PATIENT.format(f"{len(images) - most} of {len(images)}")
        found = [replace(stack, fault=fault) for stack in found]
    return found


def _alike(images: Iterable[Image]) -> list[list[Image]]:
    """Put those together that have the same directions, size and spacing."""
    groups: list[list[Image]] = []
    for image in images:
        for group in groups:
            first = group[0]
            if (
                (first.size, first.fault) == (image.size, image.fault)
                and np.allclose(first.orientation or (), image.orientation or (), rtol=0, atol=_SAME_DIRECTION)
                and np.allclose(first.spacing or (), image.spacing or (), rtol=1e-4)
            ):
                group.append(image)
                break
        else:
            groups.append([image])
    return groups


def _told_apart(images: list[Image]) -> list[list[Image]]:
    """Part images of which several are at one place: echoes, time points, fields of view side by side."""
    most, doubled = _doubled(images)
    if not doubled:
        return [images]
    for value in (_column_of(images), *(_trait(number) for number in range(len(TRAITS)))):
        groups: dict[Hashable, list[Image]] = {}
        for image in images:
            groups.setdefault(value(image), []).append(image)
        parts = list(groups.values())
        if 1 < len(parts) <= most and sum(_doubled(part)[1] for part in parts) < doubled:
            return [smaller for part in parts for smaller in _told_apart(part)]
    return [images]


def _trait(number: int) -> Callable[[Image], Hashable]:
    return lambda image: image.traits[number]


def _column_of(images: Sequence[Image]) -> Callable[[Image], Hashable]:
    """Tell apart fields of view that lie side by side in the same planes."""
    across = np.array(images[0].orientation).reshape(2, 3)

    def place(image: Image) -> Hashable:
        return tuple(np.rint(across @ np.array(image.position) / _SAME_COLUMN).astype(int).tolist())

    return place


def _doubled(images: Sequence[Image]) -> tuple[int, int]:
    """Return the most images at one place along the normal, and how many are not alone at theirs, but for the first."""
    distances = np.sort(_distances(images))
    starts = np.flatnonzero(np.diff(distances, prepend=-np.inf) > _SAME_PLACE)
    counts = np.diff([*starts, len(distances)])
    return int(counts.max()), int((counts - 1).sum())


def _normal(image: Image) -> NDArray[np.float64]:
    row, column = np.array(image.orientation, float).reshape(2, 3)
    normal: NDArray[np.float64] = np.cross(row, column)
    return normal


def _distances(images: Sequence[Image]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.array([image.position for image in images], float) @ _normal(images[0])
    return distances


def _stack(images: list[Image], same_pixels: Callable[[Image, Image], bool]) -> Stack:
    order = np.argsort(_distances(images), kind="stable")
    ordered = [images[place] for place in order]
    kept, fault = [ordered[0]], ordered[0].fault
    for one, other, apart in zip(ordered, ordered[1:], np.diff(_distances(ordered)), strict=False):
        if apart > _SAME_PLACE:
            kept.append(other)
        elif not fault and not same_pixels(one, other):
            fault = (
                f"has two different images at one place ({_numbered([one, other])}), and nothing tells what they are"
            )
    if not fault:
        fault = _misplaced(kept)
    return Stack(tuple(kept), _affine(kept), fault, len(images) - len(kept))


def _misplaced(images: Sequence[Image]) -> str:
    """Say what is wrong with the places of slices; nothing if they are evenly spaced, each behind the other."""
    row, column = np.array(images[0].orientation, float).reshape(2, 3)
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > 1e-3 or abs(row @ column) > 1e-3:
        return "says that its rows and columns have directions that are no right angle; repair its headers"
    if len(images) < 3:
        return ""
    distances = _distances(images)
    gaps = np.diff(distances)
    usual = float(np.median(gaps))
    missing = np.rint(gaps / usual).astype(int) - 1
    place = int(missing.argmax())
    if (np.abs(gaps - (missing + 1) * usual) <= 2 * _UNEVEN * usual).all() and missing.max() > 0:
        apart = f"{_numbered(images[place : place + 2])} are {gaps[place]:.4g} mm apart, others {usual:.4g}"
        return f"lacks {counted(int(missing.sum()), 'slice')} ({apart})"
    positions = np.array([image.position for image in images], float)
    steps = np.arange(len(images))[:, None]
    expected = positions[0] + steps * (positions[-1] - positions[0]) / (len(images) - 1)
    off = float(np.linalg.norm(positions - expected, axis=1).max())
    if off > _UNEVEN * usual:
        return (
            f"has slices that are not evenly spaced: {gaps.min():.4g} to {gaps.max():.4g} mm apart, one of them "
            f"{off:.2g} mm from where it should be"
        )
    return ""


def _affine(images: Sequence[Image]) -> NDArray[np.float64]:
    first, last = np.array(images[0].position, float), np.array(images[-1].position, float)
    row, column = np.array(images[0].orientation, float).reshape(2, 3)
    down, along = images[0].spacing or (1.0, 1.0)
    single = _normal(images[0]) * images[0].thickness
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 3] = row * along, column * down, first
    lps[:3, 2] = (last - first) / (len(images) - 1) if len(images) > 1 else single
    affine: NDArray[np.float64] = _LPS_TO_RAS @ lps
    return affine


def _numbered(images: Sequence[Image]) -> str:
    """Name images by the numbers that the scanner gave them: names of files may be those of a patient."""
    numbers = [image.instance for image in images]
    if any(number is None for number in numbers):
        return "of those without numbers"
    return f"images {' and '.join(str(number) for number in numbers)}"
