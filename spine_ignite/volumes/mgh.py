"""FreeSurfer's MGH and MGZ (.mgh, .mgz) through nibabel."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.compressed import is_gzip, to_the_end
from spine_ignite.volumes.headers import check_affine, check_spacing, check_voxel_bytes, file_size, spatial_shape
from spine_ignite.volumes.reader import Stored

# What says where the voxels are.
_PLACE = ("goodRASFlag", "delta", "Mdc", "Pxyz_c")
_TYPES = (np.uint8, np.int16, np.int32)  # of whole numbers; the format has no others
_HEADER_BYTES = 284
_FLAG = slice(28, 30)


class MghReader:
    """MGH and MGZ as a component."""

    writes = (".mgz", ".mgh")

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """Read shape ``(I, J, K)``, affine (RAS+ mm) and whether its directions are in the file, from the header alone.

        Raises:
            DataError: the file is missing, no MGH, not one volume, or its header is nonsense.
        """
        image = _open(path)
        return *_geometry(path, image), _has_directions(path)

    def read(self, path: Path, dtype: Any) -> Stored:
        """Read the volume; its header is nibabel's.

        Raises:
            DataError: as for :meth:`read_geometry`, or the voxels are truncated or corrupt.
        """
        image = _open(path)
        shape, affine = _geometry(path, image)
        try:
            array = _voxels(path)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
        native = array.astype(array.dtype.newbyteorder("=") if dtype is None else dtype)
        return Stored(native.reshape(shape), affine, _has_directions(path), image.header)

    def write(self, path: Path, array: NDArray[Any], affine: NDArray[np.float64], header: Any) -> None:
        """Write voxels ``(I, J, K)``; what says where they are is copied from a header of this format.

        Raises:
            OSError: the file cannot be written.
            ValueError: the values are more than 32 bits hold.
        """
        image = nib.MGHImage(_storable(array), affine)
        if isinstance(header, MGHHeader):
            for field in _PLACE:
                image.header[field] = header[field]
        # The affine that is given to nibabel would be written over these.
        nib.save(nib.MGHImage(image.dataobj, image.header.get_affine(), image.header), path)


def _open(path: Path) -> Any:
    """Return nibabel's image, of which nothing but the header has been read."""
    size = file_size(path)
    try:
        image = nib.MGHImage.from_filename(path, mmap=False)
        shape = tuple(int(n) for n in image.shape)
        itemsize = image.get_data_dtype().itemsize
    except Exception as error:  # nibabel raises many kinds for what is not an image
        raise DataError(
            f"{path} is not a readable MGH image: it is truncated or corrupt, or another kind of file"
        ) from error
    check_voxel_bytes(path, path, shape, itemsize, size if is_gzip(path) else size - _HEADER_BYTES)
    return image


def _has_directions(path: Path) -> bool:
    """Whether the header says so (goodRASFlag); nibabel sets that where it sets directions of its own."""
    with gzip.open(path, "rb") if is_gzip(path) else path.open("rb") as file:
        head = file.read(_FLAG.stop)
    return int.from_bytes(head[_FLAG], "big", signed=True) > 0


def _geometry(path: Path, image: Any) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    shape = spatial_shape(path, image.shape)
    check_spacing(path, image.header["delta"])
    return shape, check_affine(path, image.affine)


def _voxels(path: Path) -> NDArray[Any]:
    if not is_gzip(path):
        return np.asarray(nib.MGHImage.from_filename(path, mmap=False).dataobj)
    with to_the_end(gzip.GzipFile(path, "rb")) as stream:
        return np.asarray(nib.MGHImage.from_file_map({"image": nib.FileHolder(fileobj=stream)}).dataobj)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in _TYPES:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    raise ValueError(f"values from {low} to {high} do not fit into 32 bits")
