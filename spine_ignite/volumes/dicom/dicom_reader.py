"""DICOM as a format of volumes; see :mod:`.dicom_paths` for what a path means."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.names import counted
from spine_ignite.volumes.dicom import series_choice
from spine_ignite.volumes.dicom.archives import Archive, open_archive
from spine_ignite.volumes.dicom.decoding import read_voxels, same_pixels
from spine_ignite.volumes.dicom.dicom_headers import read_headers
from spine_ignite.volumes.dicom.dicom_paths import split_key, with_key
from spine_ignite.volumes.dicom.segmentation_reading import is_segmentation, read_segmentation, referred_images
from spine_ignite.volumes.dicom.series_choice import Contents
from spine_ignite.volumes.dicom.stacks import Stack
from spine_ignite.volumes.reader import Stored


class DicomReader:
    """DICOM as a component. Label volumes of it are written as NIfTI; of segmentations see :mod:`.segmentations`."""

    writes = ()

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """Return shape ``(columns, rows, slices)``, affine (RAS+ mm), and that it is in the file.

        Raises:
            DataError: there is no such series, or its slices are not a volume.
            UsageError: pydicom is not installed.
        """
        if is_segmentation(path):
            array, affine = read_segmentation(path)
            return array.shape, affine, True
        _, stack = usable_series(path)
        return stack.shape, stack.affine, True

    def read(self, path: Path, dtype: Any) -> Stored:
        """Return the volume; see :meth:`read_geometry`.

        Raises:
            DataError: likewise, or its pixels cannot be read.
        """
        if is_segmentation(path):
            labels, affine = read_segmentation(path)
            return Stored(np.asarray(labels, dtype), affine)
        found, stack = usable_series(path)
        array = read_voxels(found.archive, stack, f"{series_choice.shown(stack)} of {found.path}")
        return Stored(np.asarray(array, dtype), stack.affine)

    def files(self, path: Path) -> list[Path]:
        """Return the files on disk that hold the slices of a series.

        Raises:
            DataError: there is no such series.
        """
        if is_segmentation(path):
            return [path]
        found, stack = series_of(path)
        return list(dict.fromkeys(found.archive.file(image.member) for image in stack.images))

    def digest(self, path: Path) -> str | None:
        """Return the SHA-256 of the files of a series, whatever their names and order, in a zip or not; else None.

        Raises:
            DataError: there is no such series, or a file is gone.
        """
        if is_segmentation(path):
            return None
        found, stack = series_of(path)
        members = dict.fromkeys(image.member for image in stack.images)
        try:
            each = sorted(hashlib.sha256(found.archive.read(member)).digest() for member in members)
        except OSError as error:
            raise DataError(f"{found.path} cannot be read: {error.strerror or error}") from None
        return hashlib.sha256(b"".join(each)).hexdigest()


def series_of(path: Path) -> tuple[Contents, Stack]:
    """Return what a source holds, and the stack in it that a path means.

    Raises:
        DataError: there is none.
    """
    source, key = split_key(path)
    found = contents_of(source)
    return found, series_choice.choose(found, key)


def usable_series(path: Path) -> tuple[Contents, Stack]:
    """Return the same, if the stack is a volume.

    Raises:
        DataError: there is none, or slices are missing, doubled, another patient's, or not where they should be.
    """
    found, stack = series_of(path)
    if stack.fault:
        others = "; --series takes another" if len(found.stacks) > 1 else ""
        raise DataError(f"{series_choice.shown(stack)} of {found.path} {stack.fault}{others}")
    return found, stack


def referred_series(segmentation: Path, source: Path) -> Path:
    """Return the path of the series in a source that a segmentation was made of.

    Raises:
        DataError: the source does not hold it, or one of the two cannot be read.
    """
    found, referred = contents_of(source), referred_images(segmentation)
    shares = [len(referred & _referable(stack)) for stack in found.stacks]
    if not any(shares):
        raise DataError(
            f"{segmentation} was not made of a series in {source}; give the one that it was made of, or name the series"
            f" that is meant, as {source.name}#4"
        )
    return with_key(source, found.stacks[shares.index(max(shares))].key)


def _referable(stack: Stack) -> set[tuple[str, int | None]]:
    """What a segmentation refers to images by: the UID, and of a file with many frames the number, from 1."""
    return {(image.uid, None if image.frame is None else image.frame + 1) for image in stack.images}


def volumes_in(source: Path, wanted: tuple[str, ...] = ()) -> list[Path]:
    """Return the paths of what is meant by a source: one for each study, or for each series that is wanted.

    Raises:
        DataError: a series is not there, or no study has a sagittal one.
        UsageError: ``wanted`` names something else than series.
    """
    source, key = split_key(source)
    if key is not None and not wanted:
        series_of(with_key(source, key))
        return [with_key(source, key)]
    found = contents_of(source)
    return [source if one is None else with_key(source, one) for one in series_choice.keys_of(found, wanted)]


def remarks(paths: list[Path]) -> list[str]:
    """Say of volumes which series each is, where there was a choice, and what of their sources is not read."""
    said: list[str] = []
    for path in paths:
        key = split_key(path)[1]
        try:
            found, stack = series_of(path)
        except DataError:  # told where it is read
            continue
        said += [*series_choice.remarks(found, stack, key), *series_choice.about(found)]
    return list(dict.fromkeys(said))


def contents_of(source: Path) -> Contents:
    """Return what a source holds; read again only when a file of it has changed.

    Raises:
        DataError: it holds no DICOM, or cannot be read.
        UsageError: pydicom is not installed.
    """
    found = _contents(open_archive(source))
    if not found.stacks and not any(study.loose for study in found.studies):
        damaged = f" that can be read, but {counted(found.broken, 'truncated or corrupt file')}" if found.broken else ""
        raise DataError(f"{source} holds no image of DICOM{damaged}")
    return found


@lru_cache(maxsize=16)
def _contents(archive: Archive) -> Contents:
    images, broken = read_headers(archive)
    return series_choice.contents(archive, images, broken, same_pixels(archive))
