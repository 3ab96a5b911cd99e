"""Read images and masks, and write labels, in any format that has a reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.data import DataConfig, NanRule
from spine_ignite.errors import DataError
from spine_ignite.files import write_atomically
from spine_ignite.labels import LabelScheme
from spine_ignite.volumes import nifti, reader
from spine_ignite.volumes.label_description import as_comment
from spine_ignite.volumes.orientation import affine_of, is_placeholder
from spine_ignite.volumes.reader import volume_suffix, written_suffix


@dataclass(frozen=True)
class Volume:
    """A volume ``(I, J, K)`` with its affine (voxel indices to RAS+ mm) and the file it came from.

    ``header`` keeps what is needed to write another volume on the same grid; it is opaque. ``stored_affine`` is that of
    the file, if it says nothing about its orientation and was told. ``outside`` are voxels without a value (NaN), which
    are the minimum of the others in ``array``. ``contrast`` is which one it is of a run's (``data.contrasts``), and
    ``others`` are further images of the same exam, each on its own grid.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path
    header: Any = None
    stored_affine: NDArray[np.float64] | None = None
    outside: NDArray[np.bool_] | None = None
    contrast: str = ""
    others: Mapping[str, Volume] = field(default_factory=dict)


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


def reading_of(data: DataConfig) -> Reading:
    """Return how the files of a configuration's dataset are read."""
    return Reading(data.orientation, data.nan)


def read_geometry(path: Path, reading: Reading = STRICT) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Read shape ``(I, J, K)`` and affine from the header alone.

    Raises:
        DataError: the file is missing, not an image, its header is nonsense, or does not say what it has to.
    """
    shape, affine, said = reader.read_geometry(path)
    return shape, _oriented(path, affine, said, reading)


def read_image(path: Path, reading: Reading = STRICT) -> Volume:
    """Read an image as float32.

    Raises:
        DataError: the file is missing, truncated, not an image, not 3-D, does not say how it is oriented, or holds NaN
            that are not allowed, or infinite values.
    """
    return as_image(_read(path, np.float32, reading), reading)


def as_image(volume: Volume, reading: Reading = STRICT) -> Volume:
    """Check the voxels of an image, float32.

    Raises:
        DataError: it holds NaN that are not allowed, or infinite values.
    """
    path, finite = volume.path, np.isfinite(volume.array)
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
    return as_label(_read(path, None, reading))


def as_label(volume: Volume) -> Volume:
    """Check the values of a mask of any type, and return it as int32.

    Raises:
        DataError: a value is not an integer, or has more than 32 bits.
    """
    path, array = volume.path, volume.array
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
    path: Path,
    values: NDArray[Any],
    like: Volume,
    before: Callable[[Path], None] | None = None,
    scheme: LabelScheme | None = None,
) -> None:
    """Write label values on the grid of ``like``: same shape, affine, units and orientation codes.

    The file is complete or not there. Header fields that may identify a patient are not copied.

    Args:
        path: a name ending in .nii, .nii.gz, .mha, .nrrd or .mgz, or in what a plugin's reader writes.
        values: integers ``(I, J, K)``; their type is kept, except that 64 bits and bool become the smallest that fits.
        like: a volume read by this module.
        before: called with the complete file, just before it is renamed to ``path``.
        scheme: what the values mean; NIfTI carries it as an extension, see :mod:`~.label_description`.

    Raises:
        DataError: the shapes differ, the values are not integers, or the suffix is unknown.
        RunError: the file cannot be written.
    """
    if values.shape != like.array.shape:
        raise DataError(f"{path}: labels of shape {values.shape} do not fit the volume's {like.array.shape}")
    suffix = volume_suffix(path)
    if suffix is None or written_suffix(suffix) != suffix:
        raise DataError(
            f"{path}: label volumes are written as .nii, .nii.gz, .mha, .nrrd, .mgz or what a plugin writes"
        )
    stored = _storable(path, values)
    affine = like.affine if like.stored_affine is None else like.stored_affine
    with write_atomically(path) as temporary:
        if scheme is not None and suffix in nifti.NiftiReader.writes:
            nifti.write(temporary, stored, affine, like.header, as_comment(scheme))
        else:
            reader.write(temporary, suffix, stored, affine, like.header)
        if before is not None:
            before(temporary)


def nifti_like(values: NDArray[Any], like: Volume) -> Any:
    """Return values ``(I, J, K)`` or ``(I, J, K, N)`` as nibabel's image on the grid of ``like``.

    Header fields that may identify a patient are not copied.
    """
    return nifti.image_like(values, like.affine if like.stored_affine is None else like.stored_affine, like.header)


def _read(path: Path, dtype: Any, reading: Reading) -> Volume:
    return as_stored(path, reader.read(path, dtype), reading)


def as_stored(path: Path, stored: reader.Stored, reading: Reading = STRICT) -> Volume:
    """Return what a file, or an image in memory that goes by the name ``path``, holds as a volume.

    Raises:
        DataError: it does not say how it is oriented.
    """
    oriented = _oriented(path, stored.affine, stored.oriented, reading)
    affine = None if oriented is stored.affine else stored.affine
    return Volume(stored.array, oriented, path, stored.header, affine)


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
