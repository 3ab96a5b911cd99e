"""Label volumes as DICOM segmentations (SEG): a binary segment for each structure, on the slices that it was made from.

A segmentation is of the patient of its series: it has the names and numbers that the series has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError, UsageError
from spine_ignite.files import write_atomically
from spine_ignite.labels import LabelScheme
from spine_ignite.labels.scheme import IGNORE
from spine_ignite.version import __version__
from spine_ignite.volumes.dicom.codes import category, code_of
from spine_ignite.volumes.dicom.decoding import headers_of
from spine_ignite.volumes.dicom.dicom_headers import INSTALL, quiet
from spine_ignite.volumes.dicom.dicom_paths import is_dicom
from spine_ignite.volumes.dicom.dicom_reader import usable_series
from spine_ignite.volumes.dicom.segmentation_reading import EXTENT, VALUE
from spine_ignite.volumes.dicom.stacks import Stack

_SERIES_NUMBER = 1000  # added to that of the source
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def require_series(source: Path) -> None:
    """Refuse an image that a segmentation could not refer to.

    Raises:
        DataError: it is no DICOM.
        UsageError: highdicom is not installed.
    """
    if not is_dicom(source):
        raise DataError(f"{source} is not DICOM, and a DICOM segmentation refers to its series; leave out --dicom-seg")
    _highdicom()


def write_segmentation(
    path: Path,
    values: NDArray[Any],
    source: Path,
    scheme: LabelScheme,
    made_by: str,
    before: Callable[[Path], None] | None = None,
) -> None:
    """Write label values on the grid of a series as a segmentation that refers to its images.

    The file is complete or not there.

    Args:
        path: the file.
        values: of the scheme, ``(columns, rows, slices)``, as the series is read.
        source: the series.
        scheme: what the values mean.
        made_by: name of the network, for the record of the algorithm.
        before: called with the complete file, just before it is renamed to ``path``.

    Raises:
        DataError: nothing is labelled, or the series is gone, was changed, or lacks what is referred to.
        RunError: the file cannot be written.
        UsageError: highdicom is not installed.
    """
    found, stack = usable_series(source)
    if values.shape != stack.shape:
        raise DataError(f"{source} is not the series that was labelled: its shape is {stack.shape}, not {values.shape}")
    headers = headers_of(found.archive, stack)
    for header in headers:
        missing = [name for name in _NEEDED if not header.get(name)]
        if missing:
            raise DataError(f"{source} lacks {missing[0]} in its headers, which a segmentation refers to")
        for name in _MAY_BE_EMPTY:  # files that were made anonymous often lack them
            if name not in header:
                setattr(header, name, "")
    indices = scheme.to_indices(values)
    present = [c for c in scheme.classes[1:] if (indices == c.index).any()]
    if not present:
        raise DataError(f"{source}: nothing is labelled, and nothing has no segmentation; leave out --dicom-seg")
    numbers = np.zeros(IGNORE + 1, np.uint8)
    for number, structure in enumerate(present, 1):
        numbers[structure.index] = number
    with quiet():
        frames = np.ascontiguousarray(numbers[indices].transpose(2, 1, 0))
        _keep_frames(headers, stack)
        segments = [_segment(number, structure, made_by) for number, structure in enumerate(present, 1)]
        try:
            segmentation = _segmentation(frames, headers, _measures(stack), segments)
        except Exception:  # highdicom has many kinds, and what they say may quote the headers
            raise DataError(
                f"{source} has headers that no segmentation can refer to: they lack or contradict what DICOM asks for"
            ) from None
        segmentation.ContentCreatorName = ""  # has to be there; nobody is to be named
        _refer_to_frames(segmentation, stack)
        first = int(np.flatnonzero(indices.any((0, 1)))[0])
        segmentation.ContentDescription = EXTENT.format(first + 1, len(stack.images))
        segmentation.SeriesNumber = _SERIES_NUMBER + int(headers[0].get("SeriesNumber") or 0)
        for item, structure in zip(segmentation.SegmentSequence, present, strict=True):
            item.SegmentDescription = VALUE.format(structure.value, scheme.name)
    with write_atomically(path) as temporary:
        with quiet():
            segmentation.save_as(temporary)
        if before is not None:
            before(temporary)


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError:
        raise UsageError(f"DICOM segmentations are written by highdicom, which is not installed; {INSTALL}") from None
    return highdicom


def _keep_frames(headers: list[Any], stack: Stack) -> None:
    """Leave a file with many frames those of the stack, in its order: others, of another echo, may lie in one place."""
    if stack.first.frame is None:
        return
    if len(headers) > 1:
        raise DataError("a series in several files of many frames has no segmentation; leave out --dicom-seg")
    groups = headers[0].PerFrameFunctionalGroupsSequence
    headers[0].PerFrameFunctionalGroupsSequence = [groups[image.frame] for image in stack.images]
    headers[0].NumberOfFrames = len(stack.images)


def _refer_to_frames(segmentation: Any, stack: Stack) -> None:
    """Say which frames of the file a segmentation is of, where it was made from a header with those of the stack."""
    if stack.first.frame is None:
        return
    frames = segmentation.PerFrameFunctionalGroupsSequence
    derived = [part for frame in frames for part in frame.DerivationImageSequence]
    # Segments of one frame share what they refer to.
    for source in {id(item): item for part in derived for item in part.SourceImageSequence}.values():
        place = stack.images[int(source.ReferencedFrameNumber) - 1]
        source.ReferencedFrameNumber = (place.frame or 0) + 1


def _segment(number: int, structure: Any, made_by: str) -> Any:
    from pydicom.sr.codedict import codes

    highdicom = _highdicom()
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name[:64],
        segmented_property_category=category(),
        segmented_property_type=code_of(structure),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=made_by[:64], version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.color),
    )


def _measures(stack: Stack) -> Any:
    """Say how far slices are apart: those without a label are left out, and the rest would not tell."""
    between = float(np.linalg.norm(stack.affine[:3, 2]))
    spacing = stack.first.spacing or (1.0, 1.0)
    return _highdicom().PixelMeasuresSequence(spacing, stack.first.thickness, between)


def _segmentation(frames: NDArray[np.uint8], headers: list[Any], measures: Any, segments: list[Any]) -> Any:
    highdicom = _highdicom()
    return highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=segments,
        pixel_measures=measures,
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="spine-ignite",
        manufacturer_model_name="spine-ignite",
        software_versions=__version__,
        device_serial_number="1",
        content_label="SPINE",
        series_description="Labels of the spine (research)",
    )
