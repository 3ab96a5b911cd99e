"""What a volume's header must say to be believed, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.compressed import MAX_ZLIB_RATIO, is_gzip

_MAX_VOXELS = 2**31
# Beyond these a header is damaged or not in mm, and resampling it would ask for absurd sizes.
_SPACING_MM = (0.01, 100.0)


def file_size(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises:
        DataError: it is missing, a folder, or may not be read.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, not an image")
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is a pipe or device, not a file")  # opening a pipe would wait for its other end
        with path.open("rb") as file:  # so that a lack of permission is told as that
            return file.seek(0, 2)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def voxel_file_size(path: Path, data: Path) -> int:
    """Return the size in bytes of the file that holds the voxels of a header by itself.

    Raises:
        DataError: it is missing, no file, or may not be read.
    """
    try:
        if not data.exists():
            raise DataError(f"{path} keeps its voxels in {data}, which does not exist")
    except OSError as error:  # such as a name that is too long
        raise DataError(f"{path} keeps its voxels in a file that cannot be read: {error.strerror}") from error
    return file_size(data)


def check_voxel_bytes(
    path: Path, data: Path, shape: Iterable[int], itemsize: int, size: int, ratio: int | None = None
) -> None:
    """Refuse a file that cannot hold the voxels that its header promises, before memory is taken for them.

    Args:
        path: the header.
        data: the file with the voxels, which may be the same.
        shape: of the voxels, all axes.
        itemsize: bytes of a voxel.
        size: bytes of the file, or of the part that holds the voxels.
        ratio: by how much that may be compressed; default: as gzip does if it is by its name, else not at all.

    Raises:
        DataError: the file is too small.
    """
    ratio = ratio or (MAX_ZLIB_RATIO if is_gzip(data) else 1)
    promised = itemsize * int(np.prod([max(n, 0) for n in shape], dtype=object))
    if promised > size * ratio:
        holder = "the file" if data == path else data.name
        raise DataError(
            f"{path} is truncated or corrupt: its header promises {promised} bytes of voxels, {holder} has {size} bytes"
        )


def spatial_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the three spatial sizes of a shape, without further axes of length 1.

    Raises:
        DataError: there are not three, one is empty, or there are too many voxels to be a scan.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise DataError(f"{path} has {len(shape)} dimensions {tuple(shape)}; one volume (3-D) is needed")
    if min(shape) < 1:
        raise DataError(f"{path} is empty: its shape is {tuple(shape)}")
    if int(np.prod(shape, dtype=object)) > _MAX_VOXELS:
        raise DataError(f"{path} has shape {tuple(shape)}, more than {_MAX_VOXELS} voxels; crop or resample it")
    return tuple(int(n) for n in shape)


def check_spacing(path: Path, spacing: Any) -> None:
    """Refuse a voxel spacing that no scan has.

    Raises:
        DataError: a spacing is zero, negative, not finite, or far from what is possible in mm.
    """
    low, high = _SPACING_MM
    if not all(low <= float(n) <= high for n in spacing):
        listed = " x ".join(f"{float(n):g}" for n in spacing)
        limits = f"{low:g} to {high:g} mm"
        raise DataError(f"{path} has a voxel spacing of {listed} mm, expected {limits}; repair its header")


def check_affine(path: Path, affine: Any) -> NDArray[np.float64]:
    """Return the affine (voxel indices to mm) as float64 ``(4, 4)``.

    Raises:
        DataError: it is singular or not finite, or its spacing is not one of a scan.
    """
    checked: NDArray[np.float64] = np.asarray(affine, np.float64)
    lengths = np.linalg.norm(checked[:3, :3], axis=0)
    if not np.isfinite(checked).all() or abs(np.linalg.det(checked[:3, :3])) <= 1e-6 * lengths.prod():
        raise DataError(f"{path} has an affine that is singular or not finite; repair its header")
    check_spacing(path, lengths)
    return checked
