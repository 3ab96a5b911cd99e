"""NIfTI through nibabel: reading, and writing on the grid of what was read."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.compressed import is_gzip, to_the_end
from spine_ignite.volumes.headers import check_affine, check_spacing, check_voxel_bytes, file_size, spatial_shape
from spine_ignite.volumes.reader import Stored

# What says where the voxels are, in both versions of NIfTI, besides the spacing.
_PLACE = ("xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z")
_QFORM = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")

_LONGEST_QUATERNION = 1.01  # more is no rounding


class _LenientQuaternion:
    """A header whose quaternion may be longer than 1, as rounding makes it; nibabel's raises from 2e-7 on.

    The standard's own library divides such a quaternion by its length (nifti1_io.c, ``nifti_quatern_to_mat44``).
    """

    def get_qform_quaternion(self: Any) -> NDArray[np.float64]:
        vector = np.array([self[f"quatern_{axis}"] for axis in "bcd"], np.float64)
        rest = 1.0 - vector @ vector
        if rest < 1e-7:
            return np.array([0.0, *(vector / np.linalg.norm(vector))])
        return np.array([np.sqrt(rest), *vector])


class _Header1(_LenientQuaternion, nib.Nifti1Header):
    pass


class _Header2(_LenientQuaternion, nib.Nifti2Header):
    pass


class _PairHeader1(_LenientQuaternion, nib.nifti1.Nifti1PairHeader):
    pass


class _PairHeader2(_LenientQuaternion, nib.nifti2.Nifti2PairHeader):
    pass


class _Image1(nib.Nifti1Image):
    header_class = _Header1


class _Image2(nib.Nifti2Image):
    header_class = _Header2


class Pair1(nib.Nifti1Pair):
    """NIfTI-1 in two files, with a lenient header."""

    header_class = _PairHeader1


class Pair2(nib.nifti2.Nifti2Pair):
    """NIfTI-2 in two files, with a lenient header."""

    header_class = _PairHeader2


def read_geometry(path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
    """Read shape ``(I, J, K)``, affine (RAS+ mm) and whether the affine is in the file, from the header alone.

    Raises:
        DataError: the file is missing, not an image, not one volume, or its header is nonsense.
    """
    image = _open(path)
    return *geometry(path, image), has_affine(image.header)


def has_affine(header: Any) -> bool:
    """Whether a header says where the voxels are; where both codes are 0 the affine is nibabel's guess."""
    return bool(header["sform_code"] or header["qform_code"])


def read(path: Path, dtype: Any) -> tuple[NDArray[Any], NDArray[np.float64], Any]:
    """Read the voxels ``(I, J, K)``, the affine (RAS+ mm) and the header.

    Args:
        path: the file.
        dtype: of the voxels; None: as they are stored, or as the header's scaling makes them.

    Raises:
        DataError: as for :func:`read_geometry`, or the voxels are truncated or corrupt.
    """
    image = _open(path)
    shape, affine = geometry(path, image)
    try:
        array = _checksummed_voxels(path, image, dtype) if is_gzip(path) else voxels(image, dtype)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
    return array.reshape(shape), affine, image.header


class NiftiReader:
    """NIfTI as a component."""

    writes = (".nii.gz", ".nii")

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """See :func:`read_geometry`."""
        return read_geometry(path)

    def read(self, path: Path, dtype: Any) -> Stored:
        """See :func:`read`."""
        array, affine, header = read(path, dtype)
        return Stored(array, affine, has_affine(header), header)

    def write(self, path: Path, array: NDArray[Any], affine: NDArray[np.float64], header: Any) -> None:
        """Write voxels as :func:`image_like` does."""
        write(path, array, affine, header)


def write(
    path: Path, array: NDArray[Any], affine: NDArray[np.float64], header: Any, comment: str | None = None
) -> None:
    """Write voxels as :func:`image_like` does, with a comment as an extension (code 6, plain text) of the header."""
    image = image_like(array, affine, header)
    if comment is not None:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", comment.encode()))
    nib.save(image, path)


def image_like(values: NDArray[Any], affine: NDArray[np.float64], header: Any) -> Any:
    """Return values ``(I, J, K)`` or ``(I, J, K, N)`` as nibabel's image on the grid of a volume.

    What says where the voxels are is copied field by field: nibabel's setters would check it again and refuse what its
    reader takes, or round it. No other field is copied, since some may identify a patient.

    Args:
        values: numbers; their type is that of the file.
        affine: of the volume; used where there is no header.
        header: the header of the volume; one of another format says nothing here.
    """
    if not isinstance(header, nib.Nifti1Header):
        image = nib.Nifti1Image(values, affine, dtype=values.dtype)
        image.header.set_xyzt_units("mm")
        return image
    two = isinstance(header, nib.Nifti2Header)
    fresh = (nib.Nifti2Header if two else nib.Nifti1Header)()
    fresh.set_data_dtype(values.dtype)
    fresh.set_data_shape(values.shape)
    for field in (*_PLACE, *_QFORM):
        fresh[field] = header[field]
    fresh["pixdim"][:4] = header["pixdim"][:4]  # the first is the sign of the third axis (qfac)
    _mend_qform(fresh)
    return (nib.Nifti2Image if two else nib.Nifti1Image)(values, None, fresh)


def _mend_qform(header: Any) -> None:
    """Let every program read a quaternion that is too long; without one that is finite the qform says nothing."""
    for field in _QFORM:
        if not np.isfinite(header[field]):
            header[field], header["qform_code"] = 0, 0
    vector = np.array([float(header[field]) for field in _QFORM[:3]])
    length = float(np.linalg.norm(vector))
    if length > 1:
        for field, part in zip(_QFORM[:3], vector / length, strict=True):
            header[field] = part


def voxels(image: Any, dtype: Any) -> NDArray[Any]:
    """Return the voxels of nibabel's image, of a type, or with None as they are stored or their scaling makes them."""
    if dtype is None:
        return np.asanyarray(image.dataobj)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as that
        array: NDArray[Any] = image.get_fdata(dtype=dtype, caching="unchanged")
    return array


def _checksummed_voxels(path: Path, image: Any, dtype: Any) -> NDArray[Any]:
    with to_the_end(gzip.GzipFile(path, "rb")) as stream:
        return voxels(type(image).from_file_map({"image": nib.FileHolder(fileobj=stream)}), dtype)


def _open(path: Path) -> Any:
    size = file_size(path)
    try:
        image = _load(path)
        shape = tuple(int(n) for n in image.shape)
        itemsize = image.get_data_dtype().itemsize
    except Exception as error:  # nibabel raises many kinds for what is not an image
        raise DataError(
            f"{path} is not a readable NIfTI image: it is truncated or corrupt, or another kind of file"
        ) from error
    if image.get_data_dtype().kind not in "iufb":
        raise DataError(f"{path} holds voxels of type {image.get_data_dtype()}; numbers are needed")
    check_voxel_bytes(path, path, shape, itemsize, size)
    return image


def _load(path: Path) -> Any:
    """``nib.load`` for NIfTI alone, with the headers of this module."""
    sniff = None
    for kind in (_Image1, _Image2):
        fits, sniff = kind.path_maybe_image(path, sniff)
        if fits:
            return kind.from_filename(path, mmap=False)  # what is mapped ends the process if the file is cut off
    raise ValueError("neither version of NIfTI")


def geometry(path: Path, image: Any) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return shape ``(I, J, K)`` and affine (RAS+ mm) of nibabel's image, whose header is in the file ``path``.

    Raises:
        DataError: it is not one volume, or its header is nonsense.
    """
    shape = spatial_shape(path, image.shape)
    header = image.header
    if not int(header["sform_code"]):
        # The affine comes from pixdim then, in which nibabel has replaced 0 by 1 and negative values by positive ones.
        with ImageOpener(path) as file:
            check_spacing(path, type(header).from_fileobj(file, check=False)["pixdim"][1:4])
        length = np.linalg.norm([float(header[field]) for field in _QFORM[:3]])
        if int(header["qform_code"]) and length > _LONGEST_QUATERNION:
            raise DataError(f"{path} has a quaternion of length {length:.3g}, which is no rotation; repair its header")
    return shape, check_affine(path, image.affine)
