"""What tells whether two files, or two images, are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from spine_ignite.errors import DataError
from spine_ignite.volumes import reader
from spine_ignite.volumes.headers import file_size
from spine_ignite.volumes.volume import Volume


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        DataError: it is missing, no file, or may not be read.
    """
    return _sha256([path])


def volume_sha256(path: Path) -> str:
    """Return the SHA-256 of a volume's file, and of the one beside a header by itself (.mhd, .hdr) with the voxels.

    Of DICOM it is that of the files of the series, in whatever order and under whatever names.

    Raises:
        DataError: it is missing, no file, or may not be read; of a header by itself, it cannot be read.
    """
    return reader.digest(path) or _sha256(parts_of(path))


def parts_of(path: Path) -> list[Path]:
    """Return the files that a volume is made of: its own, the one beside a header by itself (.mhd), those of a series.

    Raises:
        DataError: a header by itself cannot be read.
    """
    return reader.files_of(path)


def voxels_sha256(volume: Volume) -> str:
    """Return the SHA-256 of an image's voxels, laid out by anatomy.

    It is the same for a copy under another name, with another compression, format, type of numbers or order of axes.
    """
    from nibabel.orientations import apply_orientation, io_orientation

    array = apply_orientation(np.asarray(volume.array, np.float32), io_orientation(volume.affine))
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        file_size(path)
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
