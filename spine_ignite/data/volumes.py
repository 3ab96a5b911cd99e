"""Read and write volumes: NIfTI through nibabel, MetaImage (.mha, .mhd) through SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.data import metaimage, nifti
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
    return nifti.read_geometry(path)


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


def write_label_like(
    path: Path, values: NDArray[Any], like: Volume, before: Callable[[Path], None] | None = None
) -> None:
    """Write label values on the grid of ``like``: same shape, affine, units and orientation codes.

    The file is complete or not there. Header fields that may identify a patient are not copied.

    Args:
        path: a name ending in .nii, .nii.gz or .mha.
        values: integers ``(I, J, K)``; their type is kept, except that 64 bits and bool become the smallest that fits.
        like: a volume read by this module.
        before: called with the complete file, just before it is renamed to ``path``.

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
        if before is not None:
            before(temporary)


def nifti_like(values: NDArray[Any], like: Volume) -> Any:
    """Return values ``(I, J, K)`` or ``(I, J, K, N)`` as nibabel's image on the grid of ``like``.

    Header fields that may identify a patient are not copied.
    """
    return nifti.image_like(values, like.affine, like.header)


def _read(path: Path, dtype: Any) -> Volume:
    if volume_suffix(path) in (".mha", ".mhd"):
        array, affine = metaimage.read(path)
        return Volume(np.ascontiguousarray(array, dtype), affine, path)
    array, affine, header = nifti.read(path, dtype)
    return Volume(array, affine, path, header)


def _storable(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "iub":
        raise DataError(f"{path}: labels are integers, these are {values.dtype}")
    if values.dtype.kind == "b" or values.dtype.itemsize == 8:  # which few programs, or none, read
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        return values.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))
    return values
