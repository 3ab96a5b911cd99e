"""Read and write volumes: NIfTI through nibabel, MetaImage (.mha, .mhd) through SimpleITK."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from spine_ignite.data import metaimage
from spine_ignite.data.headers import MAX_ZLIB_RATIO, check_affine, check_spacing, file_size, spatial_shape
from spine_ignite.errors import DataError
from spine_ignite.files import write_atomically

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd")


@dataclass(frozen=True)
class Volume:
    """A volume ``(I, J, K)`` with its affine (voxel indices to RAS+ mm) and the file it came from.

    ``header`` keeps what is needed to write another volume on the same grid; it is opaque.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path
    header: Any = None


def volume_suffix(path: Path) -> str | None:
    """Return the file name's volume suffix (``.nii.gz`` …), or None if it has none."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def volume_stem(path: Path) -> str:
    """Return the file name without its volume suffix."""
    return path.name[: len(path.name) - len(volume_suffix(path) or "")]


def read_geometry(path: Path) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Read shape ``(I, J, K)`` and affine from the header alone.

    Raises:
        DataError: the file is missing, not an image, or its header is nonsense.
    """
    if volume_suffix(path) in (".mha", ".mhd"):
        return metaimage.read_geometry(path)
    return _nifti_geometry(path, _open_nifti(path))


def read_image(path: Path) -> Volume:
    """Read an image as float32.

    Raises:
        DataError: the file is missing, truncated, not an image, not 3-D, or holds NaN or infinite values.
    """
    volume = _read(path, np.float32)
    finite = np.isfinite(volume.array)
    if not finite.all():
        raise DataError(
            f"{path} holds {int((~finite).sum())} NaN or infinite voxels; replace them (with 0, say) before training"
        )
    return volume


def read_label(path: Path) -> Volume:
    """Read a mask as int32; values within 1e-3 of an integer are rounded.

    Raises:
        DataError: as for :func:`read_image`, or a value is not an integer.
    """
    volume = _read(path, None)
    array = volume.array
    if array.dtype.kind == "f":
        rounded = np.rint(array)
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(array - rounded) <= 1e-3)
        if bad.any():
            example = float(array[bad][0])
            raise DataError(
                f"{path} holds {int(bad.sum())} label values that are not integers (for instance {example:g}); "
                "save the mask with integer values"
            )
        array = rounded
    if array.size and (array.min() < np.iinfo(np.int32).min or array.max() > np.iinfo(np.int32).max):
        raise DataError(f"{path} holds label values beyond 32 bits")
    return Volume(array.astype(np.int32), volume.affine, volume.path, volume.header)


def write_label_like(path: Path, values: NDArray[Any], like: Volume) -> None:
    """Write label values on the grid of ``like``: same shape, affine, units and orientation codes.

    The file is complete or not there. Header fields that may identify a patient are not copied.

    Args:
        path: a name ending in .nii, .nii.gz or .mha.
        values: integers ``(I, J, K)``; their type is kept, except that 64 bits and bool become the smallest that fits.
        like: a volume read by this module.

    Raises:
        DataError: the shapes differ, the values are not integers, or the suffix is unknown.
        RunError: the file cannot be written.
    """
    if values.shape != like.array.shape:
        raise DataError(f"{path}: labels of shape {values.shape} do not fit the volume's {like.array.shape}")
    suffix = volume_suffix(path)
    if suffix not in (".nii", ".nii.gz", ".mha"):
        raise DataError(f"{path}: label volumes are written as .nii, .nii.gz or .mha")
    stored = _storable(path, values)
    with write_atomically(path) as temporary:
        if suffix == ".mha":
            metaimage.write(temporary, stored, like.affine)
        else:
            nib.save(nifti_like(stored, like), temporary)


def nifti_like(values: NDArray[Any], like: Volume) -> Any:
    """Return values ``(I, J, K)`` or ``(I, J, K, N)`` as nibabel's image on the grid of ``like``.

    Header fields that may identify a patient are not copied.
    """
    kind = type(like.header) if like.header is not None else nib.Nifti1Header
    header = kind()
    header.set_data_dtype(values.dtype)
    image = (nib.Nifti2Image if issubclass(kind, nib.Nifti2Header) else nib.Nifti1Image)(values, like.affine, header)
    if like.header is None:
        header = image.header
        image.header.set_xyzt_units("mm")
        return image
    image.header.set_xyzt_units(*like.header.get_xyzt_units())
    for code, setter in (("qform", image.set_qform), ("sform", image.set_sform)):
        affine, number = getattr(like.header, f"get_{code}")(coded=True)
        setter(affine, int(number))
    return image


def _read(path: Path, dtype: Any) -> Volume:
    if volume_suffix(path) in (".mha", ".mhd"):
        array, affine = metaimage.read(path)
        return Volume(np.ascontiguousarray(array, dtype), affine, path)
    image = _open_nifti(path)
    shape, affine = _nifti_geometry(path, image)
    try:
        array = _checksummed_voxels(path, image, dtype) if _is_gzip(path) else _voxels(image, dtype)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
    return Volume(array.reshape(shape), affine, path, image.header)


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _voxels(image: Any, dtype: Any) -> NDArray[Any]:
    if dtype is None:
        return np.asanyarray(image.dataobj)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as that
        array: NDArray[Any] = image.get_fdata(dtype=dtype, caching="unchanged")
    return array


def _checksummed_voxels(path: Path, image: Any, dtype: Any) -> NDArray[Any]:
    """Read to the very end, where gzip compares its checksum: nibabel stops before, and damage would go unseen."""
    with gzip.open(path, "rb") as stream:
        array = _voxels(type(image).from_file_map({"image": nib.FileHolder(fileobj=stream)}), dtype)
        while stream.read(1 << 20):
            pass
    return array


def _open_nifti(path: Path) -> Any:
    size = file_size(path)
    try:
        image = nib.load(path, mmap=False)  # what is mapped ends the process if the file is cut off under it
        shape = tuple(int(n) for n in image.shape)
        itemsize = image.get_data_dtype().itemsize
    except Exception as error:  # nibabel raises many kinds for what is not an image
        raise DataError(
            f"{path} is not a readable NIfTI image: it is truncated or corrupt, or another kind of file"
        ) from error
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti2Image)):
        raise DataError(f"{path} is a {type(image).__name__}, not a NIfTI image; convert it to .nii.gz")
    if image.get_data_dtype().kind not in "iufb":
        raise DataError(f"{path} holds voxels of type {image.get_data_dtype()}; numbers are needed")
    promised = itemsize * int(np.prod([max(n, 0) for n in shape], dtype=object))
    ratio = MAX_ZLIB_RATIO if _is_gzip(path) else 1
    if promised > size * ratio:
        raise DataError(
            f"{path} is truncated or corrupt: its header promises {promised} bytes of voxels, the file has {size} bytes"
        )
    return image


def _nifti_geometry(path: Path, image: Any) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    shape = spatial_shape(path, image.shape)
    if not int(image.header["sform_code"]):
        # The affine comes from pixdim then, in which nibabel has replaced 0 by 1 and negative values by positive ones.
        with ImageOpener(path) as file:
            check_spacing(path, type(image.header).from_fileobj(file, check=False)["pixdim"][1:4])
    return shape, check_affine(path, image.affine)


def _storable(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "iub":
        raise DataError(f"{path}: labels are integers, these are {values.dtype}")
    if values.dtype.kind == "b" or values.dtype.itemsize == 8:  # which few programs, or none, read
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        return values.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))
    return values
