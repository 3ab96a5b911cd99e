"""Read and write volumes: NIfTI through nibabel, MetaImage (.mha, .mhd) through SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.sections import DataConfig, NanRule
from spine_ignite.errors import DataError
from spine_ignite.files import write_atomically
from spine_ignite.volumes import metaimage, nifti
from spine_ignite.volumes.orientation import affine_of, is_placeholder

SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd")


@dataclass(frozen=True)
class Volume:
    """A volume ``(I, J, K)`` with its affine (voxel indices to RAS+ mm) and the file it came from.

    ``header`` keeps what is needed to write another volume on the same grid; it is opaque. ``stored_affine`` is that of
    the file, if it says nothing about its orientation and was told. ``outside`` are voxels without a value (NaN), which
    are the minimum of the others in ``array``.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path
    header: Any = None
    stored_affine: NDArray[np.float64] | None = None
    outside: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What files leave unsaid.

    Args:
        orientation: of files that say nothing about it, as ``PSR``; None refuses them, ``any`` takes them as they are.
        nan: of NaN in images, ``refuse``, or ``border``: what is outside the field of view.
    """

    orientation: str | None = None
    nan: NanRule = "refuse"


STRICT = Reading()


def volume_suffix(path: Path) -> str | None:
    """Return the file name's volume suffix (``.nii.gz`` …), or None if it has none."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def volume_stem(path: Path) -> str:
    """Return the file name without its volume suffix."""
    return path.name[: len(path.name) - len(volume_suffix(path) or "")]


def reading_of(data: DataConfig) -> Reading:
    """Return how the files of a configuration's dataset are read."""
    return Reading(data.orientation, data.nan)


def read_geometry(path: Path, reading: Reading = STRICT) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Read shape ``(I, J, K)`` and affine from the header alone.

    Raises:
        DataError: the file is missing, not an image, its header is nonsense, or does not say what it has to.
    """
    module = metaimage if volume_suffix(path) in (".mha", ".mhd") else nifti
    shape, affine, said = module.read_geometry(path)
    return shape, _oriented(path, affine, said, reading)


def read_image(path: Path, reading: Reading = STRICT) -> Volume:
    """Read an image as float32.

    Raises:
        DataError: the file is missing, truncated, not an image, not 3-D, does not say how it is oriented, or holds NaN
            that are not allowed, or infinite values.
    """
    volume = _read(path, np.float32, reading)
    finite = np.isfinite(volume.array)
    if finite.all():
        return volume
    missing = np.isnan(volume.array)
    if not (finite | missing).all():
        count = int((~finite & ~missing).sum())
        raise DataError(f"{path} holds {count} infinite voxels; replace them (with 0, say)")
    if reading.nan == "refuse":
        raise DataError(
            f"{path} holds {int(missing.sum())} NaN voxels; replace them, or let them be a border outside the field of "
            "view (data.nan: border, or --nan border)"
        )
    if missing.all():
        raise DataError(f"{path} holds nothing but NaN")
    array = np.where(missing, volume.array[finite].min(), volume.array)
    return replace(volume, array=array, outside=missing)


def read_label(path: Path, reading: Reading = STRICT) -> Volume:
    """Read a mask as int32; values within 1e-3 of an integer are rounded.

    Raises:
        DataError: as for :func:`read_image`, or a value is not an integer.
    """
    volume = _read(path, None, reading)
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
    return replace(volume, array=array.astype(np.int32))


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
            metaimage.write(temporary, stored, like.affine if like.stored_affine is None else like.stored_affine)
        else:
            nib.save(nifti_like(stored, like), temporary)
        if before is not None:
            before(temporary)


def nifti_like(values: NDArray[Any], like: Volume) -> Any:
    """Return values ``(I, J, K)`` or ``(I, J, K, N)`` as nibabel's image on the grid of ``like``.

    Header fields that may identify a patient are not copied.
    """
    return nifti.image_like(values, like.affine if like.stored_affine is None else like.stored_affine, like.header)


def _read(path: Path, dtype: Any, reading: Reading) -> Volume:
    header = None
    if volume_suffix(path) in (".mha", ".mhd"):
        array, affine, said = metaimage.read(path)
        array = np.ascontiguousarray(array, dtype)
    else:
        array, affine, header = nifti.read(path, dtype)
        said = nifti.has_affine(header)
    oriented = _oriented(path, affine, said, reading)
    return Volume(array, oriented, path, header, None if oriented is affine else affine)


def _oriented(path: Path, affine: NDArray[np.float64], said: bool, reading: Reading) -> NDArray[np.float64]:
    """Return the affine, or where the file says nothing about its orientation one that has the orientation given."""
    if reading.orientation == "any" or (said and not is_placeholder(affine)):
        return affine
    if reading.orientation is None:
        why = "its affine is the spacing alone" if said else "its header has no affine"
        raise DataError(
            f"{path} does not say how it is oriented ({why}); say where its axes point to with data.orientation or "
            "--orientation (PSR: to posterior, superior, right), or repair its header"
        )
    return affine_of(reading.orientation, np.linalg.norm(affine[:3, :3], axis=0))


def _storable(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "iub":
        raise DataError(f"{path}: labels are integers, these are {values.dtype}")
    if values.dtype.kind == "b" or values.dtype.itemsize == 8:  # which few programs, or none, read
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        return values.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))
    return values
