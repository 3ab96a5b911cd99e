"""One reader for each format of volumes, found by the ending of a file's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError, SpineIgniteError, UsageError
from spine_ignite.names import cut
from spine_ignite.registry import Chosen, Registered, Registry, load_registry
from spine_ignite.registry.origins import remembered
from spine_ignite.spec import Component
from spine_ignite.volumes.dicom import dicom_paths
from spine_ignite.volumes.headers import check_affine, spatial_shape

T = TypeVar("T")
Affine = NDArray[np.float64]
_PLAIN = ".nii.gz"  # read by its own name if nothing in a file's name says what it is


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds.

    Args:
        array: voxels ``(I, J, K)``.
        affine: voxel indices to RAS+ mm ``(4, 4)``.
        oriented: whether the affine is in the file; else its directions are a guess.
        header: whatever the reader needs to write another volume on the same grid.
    """

    array: NDArray[Any]
    affine: Affine
    oriented: bool = True
    header: Any = None


class Reader(Protocol):
    """Reads one format; what a component of the kind ``reader`` returns when it is called.

    It may also have ``write(path, array, affine, header)``, with ``writes``, the suffixes that it writes, and
    ``further_files(path)``, the files besides ``path`` that hold the volume. Where ``path`` is no file itself it has
    ``files(path)``, those that hold the volume, and ``digest(path)``, the SHA-256 of their content.
    """

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], Affine, bool]:
        """Return shape ``(I, J, K)``, affine (RAS+ mm) and whether the affine is in the file, from the header alone."""
        ...

    def read(self, path: Path, dtype: Any) -> Stored:
        """Return the volume, its voxels of type ``dtype``, or as they are stored if that is None."""
        ...


def suffixes() -> tuple[str, ...]:
    """Return the endings of all files that are volumes, in the order of their readers: not of slices of DICOM."""
    return _suffixes(load_registry())


def suffixes_listed() -> str:
    """Return them as text: ``.nii, .nii.gz, .mha and .mhd``."""
    *most, last = suffixes()
    return f"{', '.join(most)} and {last}"


@lru_cache(maxsize=1)
def _suffixes(registry: Registry) -> tuple[str, ...]:
    found = [suffix for item in registry.components("reader") for suffix in item.value.suffixes]
    return tuple(dict.fromkeys(suffix for suffix in found if suffix != dicom_paths.SUFFIX))


def volume_suffix(path: Path) -> str | None:
    """Return the file name's volume suffix (``.nii.gz`` …), ``.dcm`` of whatever is DICOM, or None if it is neither."""
    return suffix_of_name(path) or (dicom_paths.SUFFIX if dicom_paths.is_dicom(path) else None)


def suffix_of_name(path: Path) -> str | None:
    """Return the suffix of a file that is a volume by itself, by its name alone: DICOM, a slice as a rule, is not."""
    name = path.name.lower()
    return max((suffix for suffix in suffixes() if name.endswith(suffix)), key=len, default=None)


def volume_stem(path: Path) -> str:
    """Return the file name without its volume suffix; of DICOM, see :func:`~.dicom_paths.stem`."""
    suffix = volume_suffix(path)
    return dicom_paths.stem(path) if suffix == dicom_paths.SUFFIX else path.name[: len(path.name) - len(suffix or "")]


def written_suffix(suffix: str | None) -> str:
    """Return the suffix of a label volume that is written for an image with this one: the same, if it can be."""
    writes: tuple[str, ...] = tuple(getattr(_reader(_chosen(suffix)), "writes", ()))
    return suffix if suffix in writes else next(iter(writes), _PLAIN)


def read_geometry(path: Path) -> tuple[tuple[int, ...], Affine, bool]:
    """Read a header; see :meth:`Reader.read_geometry`.

    Raises:
        DataError: the file is missing, not an image, not one volume, or its header is nonsense.
    """
    chosen = _chosen(volume_suffix(path))
    shape, affine, oriented = _told(chosen, path, lambda: _reader(chosen).read_geometry(path))
    return spatial_shape(path, tuple(shape)), check_affine(path, affine), bool(oriented)


def read(path: Path, dtype: Any) -> Stored:
    """Read a volume; see :meth:`Reader.read`.

    Raises:
        DataError: as for :func:`read_geometry`, or the voxels are truncated or corrupt.
    """
    chosen = _chosen(volume_suffix(path))
    stored = _told(chosen, path, lambda: _reader(chosen).read(path, dtype))
    shape = spatial_shape(path, stored.array.shape)
    if stored.array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds voxels of type {stored.array.dtype}; numbers are needed")
    array = np.ascontiguousarray(stored.array, dtype).reshape(shape)
    return Stored(array, check_affine(path, stored.affine), stored.oriented, stored.header)


def write(path: Path, suffix: str, array: NDArray[Any], affine: Affine, header: Any) -> None:
    """Write voxels ``(I, J, K)`` in the format of a suffix.

    Raises:
        OSError: the file cannot be written.
    """
    chosen = _chosen(suffix)
    _told(chosen, path, lambda: _reader(chosen).write(path, array, affine, header))


def further_files(path: Path) -> list[Path]:
    """Return the files besides ``path`` that hold a volume: the voxels of a header by itself.

    Raises:
        DataError: the file is missing, or not what its name says.
    """
    chosen = _chosen(volume_suffix(path))
    find: Callable[[Path], list[Path]] | None = getattr(_reader(chosen), "further_files", None)
    return [] if find is None else _told(chosen, path, lambda: find(path))


def files_of(path: Path) -> list[Path]:
    """Return the files that hold a volume: its own and further ones, or those that its reader finds.

    Raises:
        DataError: the file is missing, or not what its name says.
    """
    chosen = _chosen(volume_suffix(path))
    find: Callable[[Path], list[Path]] | None = getattr(_reader(chosen), "files", None)
    return [path, *further_files(path)] if find is None else _told(chosen, path, lambda: find(path))


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a volume's content, if its reader has one of its own.

    Raises:
        DataError: the file is missing, or not what its name says.
    """
    chosen = _chosen(volume_suffix(path))
    find: Callable[[Path], str | None] | None = getattr(_reader(chosen), "digest", None)
    return None if find is None else _told(chosen, path, lambda: find(path))


def reader_of(path: Path) -> Registered[Component]:
    """Return who reads a file: the core, if it can, or the plugin that its run was made with.

    Raises:
        UsageError: two plugins read such files.
    """
    return _claim(volume_suffix(path))


def _claim(suffix: str | None) -> Registered[Component]:
    registry = load_registry()
    claims = [item for item in registry.components("reader") if (suffix or _PLAIN) in item.value.suffixes]
    if len(claims) > 1 and claims[0].distribution != registry.core:
        kept = [item for item in claims if remembered("reader", item.value.name) == item.distribution]
        if len(kept) == 1:
            return kept[0]
        owners = " and ".join(f"'{item.value.name}' of {item.distribution}" for item in claims)
        raise UsageError(f"{suffix} files are read by both {owners}; uninstall one")
    return claims[0]


def _chosen(suffix: str | None) -> Chosen:
    item = _claim(suffix)
    return load_registry().choose("reader", f"{item.distribution.name}:{item.value.name}")


def _reader(chosen: Chosen) -> Any:
    return chosen()


def _told(chosen: Chosen, path: Path, act: Callable[[], T]) -> T:
    """Name the file and the distribution in whatever a plugin's reader raises."""
    try:
        return act()
    except (SpineIgniteError, MemoryError):
        raise
    except Exception as error:
        if chosen.distribution == load_registry().core:
            raise
        reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        raise DataError(f"{path} cannot be read or written by the {chosen}: {reason}") from error
