"""Read and write volumes: NIfTI through nibabel, MetaImage (.mha, .mhd) through SimpleITK."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.files import write_atomically

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd")
# gzip cannot shrink data by more than about 1032 to 1, so a smaller file cannot hold what its header promises.
_MAX_GZIP_RATIO = 1032
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
        reader = _open_meta(path)
        return _meta_shape(path, reader), _meta_affine(path, reader)
    image = _open_nifti(path)
    return _spatial_shape(path, image.shape), _check_affine(path, image.affine)


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
        values: integers ``(I, J, K)``.
        like: a volume read by this module.

    Raises:
        DataError: the shapes differ or the suffix is unknown.
        RunError: the file cannot be written.
    """
    if values.shape != like.array.shape:
        raise DataError(f"{path}: labels of shape {values.shape} do not fit the volume's {like.array.shape}")
    suffix = volume_suffix(path)
    if suffix not in (".nii", ".nii.gz", ".mha"):
        raise DataError(f"{path}: label volumes are written as .nii, .nii.gz or .mha")
    with write_atomically(path) as temporary:
        if suffix == ".mha":
            _write_meta(temporary, values, like.affine)
        else:
            nib.save(_nifti_like(values, like), temporary)


def _read(path: Path, dtype: Any) -> Volume:
    if volume_suffix(path) in (".mha", ".mhd"):
        reader = _open_meta(path)
        shape, affine = _meta_shape(path, reader), _meta_affine(path, reader)
        try:
            array = sitk.GetArrayFromImage(reader.Execute()).transpose(2, 1, 0)
        except RuntimeError as error:
            raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
        return Volume(np.ascontiguousarray(array.reshape(shape), dtype), affine, path)
    image = _open_nifti(path)
    shape, affine = _spatial_shape(path, image.shape), _check_affine(path, image.affine)
    try:
        array = image.get_fdata(dtype=dtype, caching="unchanged") if dtype is not None else np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
    return Volume(array.reshape(shape), affine, path, image.header)


def _open_nifti(path: Path) -> Any:
    size = _file_size(path)
    try:
        image = nib.load(path)
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
    ratio = _MAX_GZIP_RATIO if path.name.lower().endswith(".gz") else 1
    if promised > size * ratio:
        raise DataError(
            f"{path} is truncated or corrupt: its header promises {promised} bytes of voxels, the file has {size} bytes"
        )
    return image


def _open_meta(path: Path) -> Any:
    size = _file_size(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path} is not a readable MetaImage") from error
    voxels = int(np.prod([int(n) for n in reader.GetSize()], dtype=object))
    if voxels > size * _MAX_GZIP_RATIO:
        raise DataError(
            f"{path} is truncated or corrupt: its header promises {voxels} voxels, the file has {size} bytes"
        )
    if reader.GetNumberOfComponents() != 1:
        raise DataError(f"{path} has {reader.GetNumberOfComponents()} components per voxel; one is needed")
    return reader


def _file_size(path: Path) -> int:
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, not an image")
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _spatial_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise DataError(f"{path} has {len(shape)} dimensions {tuple(shape)}; one volume (3-D) is needed")
    if min(shape) < 1:
        raise DataError(f"{path} is empty: its shape is {tuple(shape)}")
    return tuple(int(n) for n in shape)


def _check_affine(path: Path, affine: Any) -> NDArray[np.float64]:
    checked: NDArray[np.float64] = np.asarray(affine, np.float64)
    if not np.isfinite(checked).all() or abs(np.linalg.det(checked[:3, :3])) < 1e-9:
        raise DataError(f"{path} has an affine that is singular or not finite; repair its header")
    return checked


def _meta_shape(path: Path, reader: Any) -> tuple[int, ...]:
    return _spatial_shape(path, tuple(int(n) for n in reader.GetSize()))


def _meta_affine(path: Path, reader: Any) -> NDArray[np.float64]:
    dimension = reader.GetDimension()
    direction = np.array(reader.GetDirection(), np.float64).reshape(dimension, dimension)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return _check_affine(path, _LPS_TO_RAS @ affine)


def _write_meta(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    lps = _LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(_first_line(error)) from error


def _nifti_like(values: NDArray[Any], like: Volume) -> Any:
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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
