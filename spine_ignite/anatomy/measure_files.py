"""Measure label volumes in files, and write the figures as a table or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.anatomy.figures import FIGURES, PURPOSE
from spine_ignite.anatomy.measure_volume import Row, measure_volume
from spine_ignite.anatomy.measured_images import Images, is_dicom_segmentation
from spine_ignite.csv_files import csv_text
from spine_ignite.errors import DataError, SpineIgniteError, UsageError, reason
from spine_ignite.files import write_text
from spine_ignite.labels import LabelScheme
from spine_ignite.labels.scheme import IGNORE
from spine_ignite.names import in_json
from spine_ignite.volumes.alignment import aligned, extended
from spine_ignite.volumes.dicom.segmentation_reading import identifiers
from spine_ignite.volumes.volume import STRICT, Reading, read_image, read_label

FORMATS = (".csv", ".json")
_DECIMALS = 3
_SERIES = ("study_instance_uid", "series_instance_uid")
_HEADINGS = ("file", "level", "kind", *FIGURES, "flags", "use")


@dataclass(frozen=True)
class Measured:
    """A label volume.

    Args:
        file: where it is.
        rows: what was measured, from the head down.
        image: the image of which the signal was measured.
        error: why it cannot be measured.
        series: UIDs of the study and of the series, of a DICOM segmentation.
    """

    file: Path
    rows: tuple[Row, ...] = ()
    image: Path | None = None
    error: str | None = None
    series: tuple[str, str] | None = None


def measure_files(
    files: Sequence[Path],
    scheme: LabelScheme,
    images: Path | None = None,
    reading: Reading = STRICT,
    progress: Callable[[Any], Any] | None = None,
) -> list[Measured]:
    """Measure label volumes; one that cannot be used is reported, and the others are still measured.

    Args:
        files: the label volumes.
        scheme: what their values mean.
        images: the image of the only label volume, a folder in which each has one under its case id, or what holds
            the DICOM series that segmentations were made of.
        reading: how files are read that leave something unsaid.
        progress: wraps the files, to show how far it is.

    Raises:
        UsageError: one image is given for several label volumes.
        DataError: the folder of images cannot be read, or two of its files have the same case id.
    """
    paired = None if images is None else Images(images, files)
    found = []
    for file in progress(files) if progress is not None else files:
        try:
            image = None if paired is None else paired.of(file)
            found.append(_measure(file, scheme, image, reading))
        except Exception as error:  # whatever one file does to a library, the others are still done
            found.append(Measured(file, error=_named(reason(error, file), file, error)))
    return found


def write_measurements(path: Path, measured: Sequence[Measured], scheme: LabelScheme) -> None:
    """Write a table with a row for each level (``.csv``), or all with units and definitions (``.json``).

    Raises:
        UsageError: the name has another ending.
        RunError: the file cannot be written.
    """
    require_format(path)
    if path.suffix.lower() == ".csv":
        headings, cells = _HEADINGS, _cells(measured)
        if any(item.series for item in measured):
            headings = (*_HEADINGS, *_SERIES)
            cells = ([*row, *(item.series or ("", ""))] for item in measured for row in _cells([item]))
        write_text(path, csv_text(headings, cells))
    else:
        document = json.dumps(as_json(measured, scheme), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(path, in_json(document) + "\n")


def require_format(path: Path) -> None:
    """Refuse a file of another format.

    Raises:
        UsageError: the name ends in neither ``.csv`` nor ``.json``.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} must end in {' or '.join(FORMATS)}; these are the formats of measurements")


def as_json(measured: Sequence[Measured], scheme: LabelScheme) -> dict[str, Any]:
    """Return all as plain data: purpose, units, definitions, and for each file its levels or why there are none."""
    return {
        "format": 1,
        "use": PURPOSE,
        "scheme": scheme.name,
        "vertebrae": scheme.vertebrae,
        "figures": {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in FIGURES.items()},
        "files": [_file_json(item) for item in measured],
    }


def _file_json(item: Measured) -> dict[str, Any]:
    about: dict[str, Any] = {"file": str(item.file), "error": item.error}
    if item.image is not None:
        about["image"] = str(item.image)
    if item.series is not None:
        about |= dict(zip(_SERIES, item.series, strict=True))
    levels = [
        {"level": row.level, "kind": row.kind, "flags": list(row.flags)}
        | {name: _rounded(value) for name, value in row.figures.items()}
        for row in item.rows
    ]
    return {**about, "levels": levels}


def _cells(measured: Sequence[Measured]) -> Iterable[list[Any]]:
    for item in measured:
        for row in item.rows:
            figures = [_rounded(row.figures.get(name, math.nan)) for name in FIGURES]
            yield [str(item.file), row.level, row.kind, *figures, "; ".join(row.flags), PURPOSE]
        if item.error is not None:
            yield [str(item.file), "", "", *[None] * len(FIGURES), item.error, PURPOSE]


def _rounded(value: float) -> float | None:
    return None if not math.isfinite(value) else round(value, _DECIMALS)


def _measure(file: Path, scheme: LabelScheme, image: Path | None, reading: Reading) -> Measured:
    label, volume = read_label(file, reading), None if image is None else read_image(image, reading)
    if volume is not None and is_dicom_segmentation(file):  # whose slices may be some of the series
        label = extended(label, volume)
    indices = scheme.to_indices(label.array)
    if not ((indices > 0) & (indices != IGNORE)).any():
        raise DataError(f"{file} labels nothing of the scheme '{scheme.name}'; choose another scheme or file")
    intensities = None
    if volume is not None:
        # On the grid of the label volume, as all else is measured there.
        intensities = aligned(volume, label, "label volume")
    series = identifiers(file) if is_dicom_segmentation(file) else None
    rows = tuple(measure_volume(indices, label.affine, scheme, intensities))
    return Measured(file, rows, image, series=series)


def _named(text: str, file: Path, error: Exception) -> str:
    """Name the file where a message about its values or its geometry does not."""
    return text if not isinstance(error, SpineIgniteError) or str(file) in text else f"{file}: {text}"
