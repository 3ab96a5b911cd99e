"""The cases of a cohort, each with its pictures and with what is known of it, the worst first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.datasets.case_ids import natural_order
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, SpineIgniteError, reason
from spine_ignite.inference.recorded_images import match_images
from spine_ignite.labels import LabelScheme
from spine_ignite.labels.scheme import IGNORE
from spine_ignite.review.certificates import Certificate, read_certificate
from spine_ignite.review.column_pictures import Picture, draw
from spine_ignite.review.ranges import Finding, Findings
from spine_ignite.review.reformation import reform
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.digests import volume_sha256
from spine_ignite.volumes.reader import volume_stem
from spine_ignite.volumes.volume import STRICT, Reading, read_image, read_label

Progress = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Vertebra:
    """A vertebra as it is labelled: its name and its centre in RAS+ mm."""

    name: str
    centre: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A case of the sheet.

    Args:
        name: of the label volume, without suffix.
        file: its name.
        sha256: of its content; empty if it cannot be read.
        certificate: of its levels.
        findings: measurements out of range.
        vertebrae: from the lowest up.
        pictures: sagittal and coronal; none of what cannot be shown.
        problem: why it is not shown, or shown without its image.
    """

    name: str
    file: str
    sha256: str
    certificate: Certificate
    findings: tuple[Finding, ...] = ()
    vertebrae: tuple[Vertebra, ...] = ()
    pictures: tuple[Picture, ...] = ()
    problem: str = ""

    @property
    def flags(self) -> int:
        """How much there is to look at."""
        return len(self.findings) + len(self.certificate.flags) + len(self.certificate.reasons)


def load_cohort(
    folder: Path,
    scheme: LabelScheme,
    images: Path | None = None,
    findings: Findings | None = None,
    reading: Reading = STRICT,
    progress: Progress | None = None,
) -> list[Case]:
    """Read the label volumes of a folder and draw them; one that cannot be read is a case with its problem.

    Args:
        folder: of label volumes, with their certificates beside them.
        scheme: what their values mean.
        images: folder of the images, found by case id; cases without one are drawn without grey values.
        findings: measurements out of range by file name.
        reading: how files are read that leave something unsaid.
        progress: wraps the files, to show how far it is.

    Returns:
        The cases, the worst first; see :func:`worst_first`.

    Raises:
        DataError: a folder cannot be read or has no volumes, or two files have the same case id.
    """
    files = volume_files(folder)
    if not files:
        raise DataError(f"folder {folder} holds no volumes; give the folder in which the label volumes are")
    paired: dict[Path, Path] = {}
    if images is not None:
        pairs = match_images(volume_files(images), files).values()
        paired = {label: image for image, label in pairs if image is not None and label is not None}
    cases = []
    for file in progress(files) if progress is not None else files:
        unusual = (findings or {}).get(file.name, ())
        cases.append(_load(file, paired.get(file), scheme, unusual, reading, images is not None))
    return worst_first(cases)


def worst_first(cases: Sequence[Case]) -> list[Case]:
    """Sort cases: what cannot be shown, what is asked about, what is not certified, what is accepted.

    Within each of these the lower posterior comes first, then the one with more to look at, then the names' order.
    """
    order = {"ask": 1, "not certified": 2, "accepted": 3}

    def rank(case: Case) -> tuple[Any, ...]:
        posterior = case.certificate.posterior
        group = order[case.certificate.verdict] if case.pictures else 0
        return group, -1.0 if posterior is None else posterior, -case.flags, natural_order(case.file.lower())

    return sorted(cases, key=rank)


def _load(
    file: Path,
    image: Path | None,
    scheme: LabelScheme,
    findings: tuple[Finding, ...],
    reading: Reading,
    wants_image: bool,
) -> Case:
    about: dict[str, Any] = {
        "name": volume_stem(file),
        "file": file.name,
        "certificate": read_certificate(file),
        "findings": findings,
    }
    try:
        digest = volume_sha256(file)
        label = read_label(file, reading)
        indices = scheme.to_indices(label.array)
        if not ((indices > 0) & (indices != IGNORE)).any():
            raise DataError(f"nothing of the scheme '{scheme.name}' is labelled")
    except Exception as error:  # whatever one file does to a library, the others are still shown
        return Case(**about, sha256="", problem=_short(error, file))
    problem = "" if image is not None or not wants_image else "it has no image in the folder of images"
    gray = None
    try:
        if image is not None:
            gray = aligned(read_image(image, reading), label, "label volume")
    except Exception as error:
        problem = _short(error, image or file)
    try:
        sagittal, coronal = reform(indices, label.affine, scheme, gray)
    except SpineIgniteError as error:
        return Case(**about, sha256=digest, problem=str(error))
    return Case(
        **about,
        sha256=digest,
        vertebrae=_vertebrae(indices, label.affine, scheme),
        pictures=(draw(sagittal, "Mid-sagittal", scheme), draw(coronal, "Coronal", scheme)),
        problem=problem,
    )


def _vertebrae(indices: NDArray[np.uint8], affine: NDArray[np.float64], scheme: LabelScheme) -> tuple[Vertebra, ...]:
    found = []
    flat = indices.ravel()
    counts = np.bincount(flat, minlength=256).astype(float)
    sums = []
    for axis, length in enumerate(indices.shape):
        place = np.arange(length, dtype=float).reshape([-1 if a == axis else 1 for a in range(3)])
        weights = np.broadcast_to(place, indices.shape).ravel()
        sums.append(np.bincount(flat, weights=weights, minlength=256))
    for entry in scheme.classes:
        if entry.kind == "vertebra" and counts[entry.index]:
            voxel = np.array([total[entry.index] for total in sums]) / counts[entry.index]
            x, y, z = (round(float(mm), 1) for mm in affine[:3, :3] @ voxel + affine[:3, 3])
            found.append(Vertebra(entry.name, (x, y, z)))
    return tuple(sorted(found, key=lambda vertebra: vertebra.centre[2] if math.isfinite(vertebra.centre[2]) else 0.0))


def _short(error: Exception, file: Path) -> str:
    """Say why a file cannot be shown, without the folder, which is nobody's business who gets the sheet."""
    return reason(error, file).replace(f"{file.parent}/", "")
