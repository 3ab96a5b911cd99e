"""What is read of the headers of DICOM files: one entry for each image, also of those with many frames.

No name, number or date of a patient is kept, only whether two images have the same.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spine_ignite.errors import UsageError
from spine_ignite.volumes.dicom.archives import Archive, Member

INSTALL = "pip install 'spine-ignite[dicom]'"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MOST_DEFLATED = 2**24  # bytes: such a file is blown up as a whole
_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("PatientID", "PatientName", "PatientBirthDate", "Modality", "SeriesDescription", "ImageType", "Rows", "Columns"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("EchoTime", "EchoNumbers", "RepetitionTime", "InversionTime", "AcquisitionNumber", "TriggerTime"),
    *("TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionTime", "NumberOfFrames"),
    *("ImagesInAcquisition", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SamplesPerPixel", "PhotometricInterpretation", "StackID"),
]
# By what the images at one place differ, the most telling first; see :mod:`.stacks`.
TRAITS = ("echo", "kind", "stack", "acquisition", "time_point", "b_value", "inversion", "trigger", "acquired")


@dataclass(frozen=True, slots=True)
class Image:
    """One image: a file, or a frame of one.

    Args:
        member: the file.
        frame: its number in the file from 0; None: the file has one image.
        study: which study it is of; as are those below, only to be compared.
        series: which series.
        patient: which patient.
        uid: of the file.
        number: of the series, as the scanner counts; None without one.
        instance: of the image in its series, likewise.
        modality: such as ``MR``.
        description: of the series; it may name anyone, so it is shown by :func:`~.series_choice.shown` alone.
        kind: the values of ImageType, such as ``ORIGINAL``.
        size: rows and columns.
        spacing: mm between rows, and between columns.
        orientation: direction of a row (towards greater columns) and of a column, in LPS; None without one.
        position: centre of the first pixel in mm, LPS; None without one.
        thickness: mm from slice to slice, for what has one slice alone.
        echo_time: ms.
        repetition_time: ms.
        announced: how many images the acquisition has, where it says so.
        fault: why its pixels cannot be used; empty if they can.
        traits: values of :data:`TRAITS`.
    """

    member: Member
    frame: int | None
    study: str
    series: str
    patient: str
    uid: str
    number: int | None
    instance: int | None
    modality: str
    description: str
    kind: tuple[str, ...]
    size: tuple[int, int]
    spacing: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    thickness: float
    echo_time: float
    repetition_time: float
    announced: int
    fault: str
    traits: tuple[Any, ...]


@contextmanager
def quiet() -> Iterator[Any]:
    """Give pydicom, which says nothing meanwhile: its warnings quote the values of headers.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pydicom
        import pydicom.config
    except ImportError:
        raise UsageError(f"DICOM is read by pydicom, which is not installed; {INSTALL}") from None
    logger, settings = logging.getLogger("pydicom"), pydicom.config.settings
    level, mode = logger.level, settings.reading_validation_mode
    logger.setLevel(logging.CRITICAL + 1)
    settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom
    finally:
        logger.setLevel(level)
        settings.reading_validation_mode = mode


def read_headers(archive: Archive) -> tuple[list[Image], int]:
    """Return the images of a source, and how many of its files are DICOM that cannot be read.

    Files without images, such as reports and segmentations, are neither.

    Raises:
        UsageError: pydicom is not installed.
    """
    found: list[Image] = []
    broken = 0
    with quiet() as pydicom:
        for member, file in archive.images():
            if file is None:
                broken += 1
                continue
            try:
                if member.size > _MOST_DEFLATED and _is_deflated(pydicom, file):
                    broken += 1
                    continue
                header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
                found += _images(member, header)
            except Exception:  # pydicom raises many kinds for what is cut off or damaged
                broken += 1
    return found, broken


def _is_deflated(pydicom: Any, file: Any) -> bool:
    meta = pydicom.filereader.read_file_meta_info(file)
    file.seek(0)
    return bool(meta.get("TransferSyntaxUID") == _DEFLATED)


def _images(member: Member, header: Any) -> list[Image]:
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if "Rows" not in header or "Columns" not in header:
        if kind is None or "Image Storage" in kind.name:
            raise ValueError("the header is cut off")
        return []
    if header.get("Modality") == "SEG":
        return []
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        several = int(header.get("NumberOfFrames") or 1) > 1
        return [_image(member, header, None, "has many frames that do not say where they are" if several else "")]
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or []), None)
    return [_image(member, _Frame(header, frame, shared), number, "") for number, frame in enumerate(frames)]


class _Frame:
    """The header of a frame: what it says itself, what all frames share, and what the file says."""

    def __init__(self, header: Any, own: Any, shared: Any) -> None:
        self._header, self._groups = header, [group for group in (own, shared) if group is not None]

    def get(self, name: str, default: Any = None) -> Any:
        group, inside = _PLACES.get(name, ("", name))
        for groups in self._groups if group else ():
            for item in groups.get(group) or ():
                if item.get(inside) is not None:
                    return item.get(inside)
        return self._header.get(name, default)


_PLACES = {
    "ImagePositionPatient": ("PlanePositionSequence", "ImagePositionPatient"),
    "ImageOrientationPatient": ("PlaneOrientationSequence", "ImageOrientationPatient"),
    "PixelSpacing": ("PixelMeasuresSequence", "PixelSpacing"),
    "SliceThickness": ("PixelMeasuresSequence", "SliceThickness"),
    "SpacingBetweenSlices": ("PixelMeasuresSequence", "SpacingBetweenSlices"),
    "ImageType": ("MRImageFrameTypeSequence", "FrameType"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "StackID": ("FrameContentSequence", "StackID"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
}


def _image(member: Member, header: Any, frame: int | None, fault: str) -> Image:
    size = (int(header.get("Rows")), int(header.get("Columns")))
    kind = tuple(str(part).upper() for part in header.get("ImageType") or ())
    study, series = str(header.get("StudyInstanceUID") or ""), str(header.get("SeriesInstanceUID") or "")
    gap, thick = _number(header.get("SpacingBetweenSlices")), _number(header.get("SliceThickness"))
    if int(header.get("SamplesPerPixel") or 1) != 1:
        fault = "is in colour"
    elif str(header.get("PhotometricInterpretation") or "MONOCHROME2") != "MONOCHROME2":
        fault = "has no plain grey values (its photometric interpretation is not MONOCHROME2)"
    elif "MOSAIC" in kind:
        fault = "is a mosaic of slices"
    return Image(
        member=member,
        frame=frame,
        study=study,
        series=series,
        patient=_anonymous(*(str(header.get(f"Patient{what}") or "") for what in ("ID", "Name", "BirthDate"))),
        uid=str(header.get("SOPInstanceUID") or ""),
        number=_whole(header.get("SeriesNumber")),
        instance=_whole(header.get("InstanceNumber")) if frame is None else frame + 1,
        modality=str(header.get("Modality") or ""),
        description=str(header.get("SeriesDescription") or ""),
        kind=kind,
        size=size,
        spacing=_pair(header.get("PixelSpacing")),
        orientation=_numbers(header.get("ImageOrientationPatient"), 6),
        position=_numbers(header.get("ImagePositionPatient"), 3),
        thickness=abs(gap) or abs(thick) or 1.0,
        echo_time=_number(header.get("EchoTime")),
        repetition_time=_number(header.get("RepetitionTime")),
        announced=_whole(header.get("ImagesInAcquisition")) or 0,
        fault=fault,
        traits=(
            (str(header.get("EchoNumbers") or ""), _number(header.get("EchoTime"))),
            kind,
            str(header.get("StackID") or ""),
            _whole(header.get("AcquisitionNumber")),
            _whole(header.get("TemporalPositionIdentifier")),
            _number(header.get("DiffusionBValue")),
            _number(header.get("InversionTime")),
            _number(header.get("TriggerTime")),
            str(header.get("AcquisitionTime") or ""),
        ),
    )


def _anonymous(*values: str) -> str:
    """Stand for a patient where one is only told from another."""
    return hashlib.sha256("\0".join(value.strip(" ^\0") for value in values).encode()).hexdigest()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        found = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return found if len(found) == count else None


def _pair(value: Any) -> tuple[float, float] | None:
    found = _numbers(value, 2)
    return (found[0], found[1]) if found is not None else None
