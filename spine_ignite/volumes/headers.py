"""What a volume's header must say to be believed, whatever the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError

# zlib and gzip cannot shrink data by more than about 1032 to 1, so a smaller file cannot hold what its header promises.
MAX_ZLIB_RATIO = 1032
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
