"""DICOM segmentations as label volumes: ours, with the values of their label scheme, and those of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.dicom_headers import quiet

VALUE = "value {} of the label scheme {}"  # the description of a segment
_VALUE = re.compile(r"value (\d+) of the label scheme (.+)")
# The description of the content: slices in which nothing is labelled have no frames, so that these do not say where the
# field of view ended. Slices are counted from 1 along the normal of rows and columns.
EXTENT = "Labels of the spine from slice {} of {}; for research"
_EXTENT = re.compile(r"Labels of the spine from slice (\d+) of (\d+); for research")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_OFF = 0.05  # of the distance between slices
_LEAST_STEP, _MOST_SLICES = 0.01, 10_000  # mm from slice to slice; beyond either a header is wrong
_MOST_VALUE = 65535


def is_segmentation(path: Path) -> bool:
    """Whether a path is one file, and that a segmentation."""
    try:
        if not path.is_file() or path.suffix.lower() == ".zip":
            return False
        status = path.stat()
    except OSError:
        return False
    return _modality(path, status.st_mtime_ns, status.st_size) == "SEG"


@lru_cache(maxsize=256)
def _modality(path: Path, _time: int, _size: int) -> str:
    with quiet() as pydicom:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["Modality"])
            return str(header.get("Modality") or "")
        except Exception:  # told where it is read
            return ""


def read_segmentation(path: Path) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return label values ``(columns, rows, slices)`` and the affine (RAS+ mm).

    The slices are those of the series, where the segmentation says which of them it has, as ours do; else those from
    the first that has a segment to the last. Values are those of the label scheme, where a segment tells its own, else
    the numbers of the segments.

    Raises:
        DataError: it is truncated or corrupt, not binary, its segments overlap, or its slices are not evenly spaced.
    """
    with quiet() as pydicom:
        try:
            header = pydicom.dcmread(path)
            kind = str(header.get("SegmentationType") or "")
            frames = np.asarray(pydicom.pixels.pixel_array(header)) if kind == "BINARY" else np.zeros(0)
            frames = frames.reshape(-1, int(header.Rows), int(header.Columns))
            places = [_place(header, frame) for frame in header.PerFrameFunctionalGroupsSequence]
            listed = [(int(segment.SegmentNumber), _value(segment)) for segment in header.SegmentSequence]
            if kind == "BINARY" and len(frames) != len(places):
                raise ValueError("frames are missing")
        except Exception:
            raise DataError(f"{path} is no readable DICOM segmentation: it is truncated or corrupt") from None
    if kind != "BINARY":
        raise DataError(f"{path} is a segmentation of shares ({kind}); one of whole voxels (BINARY) is needed")
    if fault := _contradiction(listed, [number for number, *_ in places]):
        raise DataError(f"{path} {fault}; write it again with the program that made it")
    values, affine = _volume(path, frames, places, dict(listed))
    return _on_series(str(header.get("ContentDescription") or ""), values, affine)


def _on_series(
    said: str, values: NDArray[np.uint16], affine: NDArray[np.float64]
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Add the slices without a label that a segmentation speaks of, see :data:`EXTENT`."""
    match = _EXTENT.fullmatch(said)
    before, count = (int(match.group(1)) - 1, int(match.group(2))) if match is not None else (0, 0)
    after = count - before - values.shape[2]
    if before < 0 or after < 0 or count > _MOST_SLICES:
        return values, affine
    moved = affine.copy()
    moved[:3, 3] -= before * affine[:3, 2]
    return np.pad(values, ((0, 0), (0, 0), (before, after))), moved


def _contradiction(listed: list[tuple[int, int]], used: list[int]) -> str:
    """Say what is wrong with the numbers and values of segments, and those that frames are of; empty if nothing."""
    numbers, values = {number for number, _ in listed}, {value for _, value in listed}
    if not used:
        return "has no frames"
    if not numbers.issuperset(used):
        return "has a frame of a segment that it does not list"
    if min(values) < 1 or max(values) > _MOST_VALUE:
        return f"has a segment whose value is not in 1 … {_MOST_VALUE}"
    if len(numbers) < len(listed) or len(values) < len(listed):
        return "has several segments of one number or value"
    return ""


def described_scheme(path: Path) -> tuple[str, dict[int, str]] | None:
    """Return the name of the label scheme that a segmentation of ours is in, and the names of its values."""
    found, names = _segments(path)
    schemes = {name for _, name in found}
    return (schemes.pop(), names) if len(schemes) == 1 and len(found) == len(names) else None


def _segments(path: Path) -> tuple[list[tuple[int, str]], dict[int, str]]:
    with quiet() as pydicom:
        try:
            segments = pydicom.dcmread(path, stop_before_pixels=True).SegmentSequence
            told = [_VALUE.fullmatch(str(segment.get("SegmentDescription") or "")) for segment in segments]
            labels = [str(segment.SegmentLabel) for segment in segments]
        except Exception:  # told where it is read
            return [], {0: ""}
    found = [(int(match.group(1)), match.group(2)) for match in told if match is not None]
    return found, {_value(segment): label for segment, label in zip(segments, labels, strict=True)}


def identifiers(path: Path) -> tuple[str, str]:
    """Return the UIDs of the study, and of the series that a segmentation was made of.

    Raises:
        DataError: it cannot be read.
    """
    with quiet() as pydicom:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            referred = header.get("ReferencedSeriesSequence") or []
            return str(header.StudyInstanceUID), "; ".join(str(item.SeriesInstanceUID) for item in referred)
        except Exception:
            raise DataError(f"{path} is no readable DICOM segmentation: it is truncated or corrupt") from None


def referred_images(path: Path) -> set[tuple[str, int | None]]:
    """Return the images that a segmentation was made of: UID, and of a file with many frames the number, from 1.

    Frames say it; where they do not, the list of the series does, which has no frames.

    Raises:
        DataError: it cannot be read.
    """
    with quiet() as pydicom:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            groups = [*header.PerFrameFunctionalGroupsSequence, *header.SharedFunctionalGroupsSequence]
            derived = [item for group in groups for item in group.get("DerivationImageSequence") or ()]
            sources = [item for part in derived for item in part.get("SourceImageSequence") or ()]
            series = header.get("ReferencedSeriesSequence") or ()
            sources = sources or [item for one in series for item in one.get("ReferencedInstanceSequence") or ()]
            return {reference for item in sources for reference in _references(item)}
        except Exception:
            raise DataError(f"{path} is no readable DICOM segmentation: it is truncated or corrupt") from None


def _references(item: Any) -> Iterator[tuple[str, int | None]]:
    frames = item.get("ReferencedFrameNumber")
    numbers = [None] if frames is None else frames if isinstance(frames, Sequence) else [frames]
    for number in numbers:
        yield str(item.ReferencedSOPInstanceUID), None if number is None else int(number)


def _value(segment: Any) -> int:
    match = _VALUE.fullmatch(str(segment.get("SegmentDescription") or ""))
    return int(match.group(1)) if match is not None else int(segment.SegmentNumber)


def _place(header: Any, frame: Any) -> tuple[int, tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the segment of a frame, and position, directions, and spacing of rows, columns and slices (0: unsaid)."""
    shared = header.SharedFunctionalGroupsSequence[0]

    def group(name: str) -> Any:
        return (frame.get(name) or shared.get(name))[0]

    measures = group("PixelMeasuresSequence")
    spacing = (*map(float, measures.PixelSpacing), abs(float(measures.get("SpacingBetweenSlices") or 0)))
    number = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
    position = tuple(map(float, group("PlanePositionSequence").ImagePositionPatient))
    return number, position, tuple(map(float, group("PlaneOrientationSequence").ImageOrientationPatient)), spacing


def _volume(
    path: Path, frames: NDArray[Any], places: list[Any], values: dict[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    _, _, orientation, (down, along, between) = places[0]
    if any(place[2:] != places[0][2:] for place in places):
        raise DataError(f"{path} has frames of several directions or spacings, which are no volume")
    row, column = np.array(orientation).reshape(2, 3)
    positions = np.array([place[1] for place in places])
    distances = positions @ np.cross(row, column)
    apart = np.diff(np.unique(np.round(distances, 3)))
    step = between or (float(apart.min()) if len(apart) else 1.0)
    if not (np.isfinite(positions).all() and step >= _LEAST_STEP and np.ptp(distances) < _MOST_SLICES * step):
        raise DataError(f"{path} has slices {step:g} mm apart, or at places that cannot be; its headers are wrong")
    first, last = int(distances.argmin()), int(distances.argmax())
    slices = np.rint((distances - distances[first]) / step).astype(int)
    if np.abs(distances - distances[first] - slices * step).max() > _OFF * step:
        raise DataError(f"{path} has slices that are not evenly spaced")
    volume = np.zeros((*frames.shape[:0:-1], int(slices.max()) + 1), np.uint16)
    for frame, (number, *_), k in zip(frames, places, slices, strict=True):
        inside = frame.T > 0
        if volume[:, :, k][inside].any():
            raise DataError(f"{path} has segments that overlap; a label volume has one value at each place")
        volume[:, :, k][inside] = values[number]
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 3] = row * along, column * down, positions[first]
    steps = max(int(slices.max()), 1)
    lps[:3, 2] = (positions[last] - positions[first]) / steps if slices.max() else np.cross(row, column) * step
    affine: NDArray[np.float64] = _LPS_TO_RAS @ lps
    return volume, affine
