"""The images of one exam: one that gives the grid, and further contrasts beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from spine_ignite.errors import DataError, UsageError
from spine_ignite.volumes.digests import volume_sha256
from spine_ignite.volumes.resampling import overlap
from spine_ignite.volumes.volume import STRICT, Reading, Volume, read_image

LEAST_OVERLAP = 0.5  # of the fields of view, below which two images are hardly of one exam

Files = Mapping[str, Path]  # of each contrast its file; empty where an image is a case of its own


def read_contrasts(image: Path, files: Files, reading: Reading = STRICT) -> Volume:
    """Read an image and the further contrasts of its exam.

    Args:
        image: gives the grid; one of ``files``, if these are any.
        files: of all contrasts that there are.
        reading: what the files leave unsaid.

    Raises:
        DataError: a file cannot be read, or its field of view is not that of the image.
    """
    volume = read_image(image, reading)
    if not files:
        return volume
    own = contrast_of(image, files)
    others = {name: read_image(path, reading) for name, path in files.items() if name != own}
    return with_contrasts(volume, own, others)


def with_contrasts(volume: Volume, contrast: str, others: Mapping[str, Volume]) -> Volume:
    """Return an image with the further contrasts of its exam.

    Raises:
        DataError: the field of view of one is not that of the image, or two are one and the same.
    """
    before = {contrast: volume}
    for name, other in others.items():
        _require_another(name, other, before)
        before[name] = other
        share = overlap(other, volume)
        if share < LEAST_OVERLAP:
            raise DataError(
                f"{other.path} ({name}) covers {100 * share:.0f} % of the field of view of {volume.path} ({contrast}), "
                f"and {100 * LEAST_OVERLAP:.0f} % are needed; check that both are of one exam and that "
                "their headers say where they lie"
            )
    return replace(volume, contrast=contrast, others=dict(others))


def _require_another(name: str, image: Volume, others: Mapping[str, Volume]) -> None:
    for known, other in others.items():
        if np.array_equal(image.array, other.array) and image.array.min() < image.array.max():
            raise DataError(
                f"{image.path} ({name}) is voxel for voxel the same image as {other.path} ({known}); give each "
                "contrast its own, or leave one out"
            )


def contrast_of(image: Path, files: Files) -> str:
    """Return which contrast an image is.

    Raises:
        UsageError: it is none of the files.
    """
    for name, path in files.items():
        if path == image:
            return name
    raise UsageError(f"{image} is none of the contrasts {', '.join(files)}")


def contrasts_sha256(image: Path, files: Files) -> str:
    """Return what tells whether the images of an exam are the same: of one image its SHA-256, else one of all.

    Raises:
        DataError: a file is missing or may not be read.
    """
    own = volume_sha256(image)
    return join_sha256(own, {name: own if path == image else volume_sha256(path) for name, path in files.items()})


def join_sha256(image: str, digests: Mapping[str, str]) -> str:
    """Return one SHA-256 of those of all contrasts, that of the image if it is a case of its own."""
    if not digests:
        return image
    listed = [f"image {image}", *(f"{name} {digest}" for name, digest in sorted(digests.items()))]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()
