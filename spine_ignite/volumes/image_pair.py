"""Volumes in two files, a header (.hdr) and its voxels (.img): NIfTI pairs and Analyze 7.5, through nibabel; read only.

Analyze says nothing about the orientation that programs agree on, so that such files are refused unless they are told.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes import nifti
from spine_ignite.volumes.compressed import is_gzip, to_the_end
from spine_ignite.volumes.headers import check_affine, check_spacing, check_voxel_bytes, file_size, voxel_file_size
from spine_ignite.volumes.headers import spatial_shape as checked_shape
from spine_ignite.volumes.reader import Stored

_VOXELS = (".img", ".img.gz", ".IMG")


class PairReader:
    """NIfTI pairs and Analyze as a component."""

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """Read shape ``(I, J, K)``, affine (RAS+ mm) and whether the affine is in the file, from the header alone.

        Raises:
            DataError: a file is missing, is no image, not one volume, or its header is nonsense.
        """
        image = _open(path)
        return *_geometry(path, image), _is_nifti(image) and nifti.has_affine(image.header)

    def read(self, path: Path, dtype: Any) -> Stored:
        """Read the volume; the header of a NIfTI pair is that of a NIfTI image.

        Raises:
            DataError: as for :meth:`read_geometry`, or the voxels are truncated or corrupt.
        """
        image = _open(path)
        shape, affine = _geometry(path, image)
        try:
            array = _voxels(image, voxel_file(path), dtype)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
        header = image.header if _is_nifti(image) else None
        return Stored(array.reshape(shape), affine, header is not None and nifti.has_affine(header), header)

    def further_files(self, path: Path) -> list[Path]:
        """Return the file that holds the voxels.

        Raises:
            DataError: one of the two is missing.
        """
        file_size(path)
        voxel_file_size(path, voxel_file(path))
        return [voxel_file(path)]


def voxel_file(path: Path) -> Path:
    """Return the file with the voxels of a header; if there is none, the name that it should have."""
    lower = path.name.lower()
    stem = path.name[: -len(".hdr.gz" if lower.endswith(".gz") else ".hdr")]
    found = [path.with_name(f"{stem}{suffix}") for suffix in _VOXELS]
    return next((file for file in found if file.exists()), found[0])


def _open(path: Path) -> Any:
    """Return nibabel's image, of which nothing but the header has been read."""
    file_size(path)
    data = voxel_file(path)
    size = voxel_file_size(path, data)
    try:
        files = {"header": nib.FileHolder(str(path)), "image": nib.FileHolder(str(data))}
        image = _kind(path).from_file_map(files, mmap=False)
        shape = tuple(int(n) for n in image.shape)
        itemsize, kind = image.get_data_dtype().itemsize, image.get_data_dtype().kind
    except Exception as error:  # nibabel raises many kinds for what is not an image
        raise DataError(
            f"{path} is not a readable header of NIfTI or Analyze: it is truncated or corrupt, or another kind of file"
        ) from error
    if kind not in "iufb":
        raise DataError(f"{path} holds voxels of type {image.get_data_dtype()}; numbers are needed")
    check_voxel_bytes(path, data, shape, itemsize, size)
    return image


def _kind(path: Path) -> Any:
    """Which class of nibabel's reads a header."""
    with gzip.open(path, "rb") if is_gzip(path) else path.open("rb") as file:
        head = file.read(348)
    if head[344:348] == b"ni1\0":
        return nifti.Pair1
    if head[4:8] == b"ni2\0":
        return nifti.Pair2
    if head[344:347] != b"n+1" and 348 in (int.from_bytes(head[:4], order) for order in ("little", "big")):
        return nib.AnalyzeImage
    raise ValueError("neither NIfTI nor Analyze")


def _geometry(path: Path, image: Any) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    if _is_nifti(image):
        return nifti.geometry(path, image)
    shape = checked_shape(path, image.shape)
    check_spacing(path, image.header["pixdim"][1:4])
    return shape, check_affine(path, image.affine)


def _is_nifti(image: Any) -> bool:
    return isinstance(image.header, nib.Nifti1Header)


def _voxels(image: Any, data: Path, dtype: Any) -> NDArray[Any]:
    if not is_gzip(data):
        return nifti.voxels(image, dtype)
    with to_the_end(gzip.GzipFile(data, "rb")) as stream:
        files = {"header": image.file_map["header"], "image": nib.FileHolder(fileobj=stream)}
        return nifti.voxels(type(image).from_file_map(files), dtype)
