"""MetaImage (.mha, .mhd) through SimpleITK, in nibabel's conventions: index order (I, J, K), RAS+ mm."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.compressed import MAX_ZLIB_RATIO
from spine_ignite.volumes.headers import check_affine, check_spacing, file_size, spatial_shape
from spine_ignite.volumes.metaheader import MATRICES, read_header
from spine_ignite.volumes.reader import Stored

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_geometry(path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
    """Read shape ``(I, J, K)``, affine (RAS+ mm) and whether its directions are in the file, from the header alone.

    Raises:
        DataError: the file is missing, not a MetaImage, not one volume, or its header is nonsense.
    """
    return *_geometry(path, _open(path)), _has_directions(path)


def read(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], bool]:
    """Read the voxels ``(I, J, K)`` in the type they are stored in, the affine (RAS+ mm), and as above.

    Raises:
        DataError: as for :func:`read_geometry`, or the voxels are truncated or corrupt.
    """
    reader = _open(path)
    shape, affine = _geometry(path, reader)
    try:
        _verify_checksum(path)
        array = sitk.GetArrayFromImage(reader.Execute()).T  # SimpleITK's arrays are (K, J, I)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
    return array.reshape(shape), affine, _has_directions(path)


class MetaImageReader:
    """MetaImage as a component; a header by itself (.mhd) is written as one file."""

    writes = (".mha",)

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """See :func:`read_geometry`."""
        return read_geometry(path)

    def read(self, path: Path, dtype: Any) -> Stored:
        """See :func:`read`."""
        array, affine, oriented = read(path)
        return Stored(np.ascontiguousarray(array, dtype), affine, oriented)

    def write(self, path: Path, array: NDArray[Any], affine: NDArray[np.float64], header: Any) -> None:
        """See :func:`write`; the format has no header to copy."""
        write(path, array, affine)

    def further_files(self, path: Path) -> list[Path]:
        """See :func:`further_files`."""
        return further_files(path)


def _has_directions(path: Path) -> bool:
    return any(name in read_header(path)[0] for name in MATRICES)


def further_files(path: Path) -> list[Path]:
    """Return the file that holds the voxels, if it is another one than the header's.

    Raises:
        DataError: the file is missing, or no MetaImage.
    """
    file_size(path)
    place = _place(path)
    return [place.file] if place.file != path else []


def write(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write voxels ``(I, J, K)`` with an affine in RAS+ mm, compressed.

    Raises:
        OSError: the file cannot be written.
    """
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


def _open(path: Path) -> Any:
    size = file_size(path)
    place = _place(path)  # which checks the header: SimpleITK does not survive all
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path} is not a readable MetaImage") from error
    voxels = int(np.prod([int(n) for n in reader.GetSize()], dtype=object))
    size = max(size, place.size)
    if voxels > size * MAX_ZLIB_RATIO:
        raise DataError(
            f"{path} is truncated or corrupt: its header promises {voxels} voxels, the file has {size} bytes"
        )
    if reader.GetNumberOfComponents() != 1:
        raise DataError(f"{path} has {reader.GetNumberOfComponents()} components per voxel; one is needed")
    return reader


def _geometry(path: Path, reader: Any) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    shape = spatial_shape(path, tuple(int(n) for n in reader.GetSize()))
    check_spacing(path, reader.GetSpacing()[:3])
    return shape, check_affine(path, affine_of_image(reader))


def affine_of_image(image: Any) -> NDArray[np.float64]:
    """Return the affine (voxel indices to RAS+ mm) of a SimpleITK image, or of a reader that knows its header."""
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection(), np.float64).reshape(dimension, dimension)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    turned: NDArray[np.float64] = _LPS_TO_RAS @ affine
    return turned


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the voxels of a MetaImage are."""

    file: Path
    offset: int
    size: int
    compressed: bool


def _place(path: Path) -> _Place:
    fields, end = read_header(path)
    compressed = fields.get("compresseddata", "")[:1] in ("T", "t", "1")
    name = fields["elementdatafile"]
    if name.upper() == "LOCAL":
        return _Place(path, end, path.stat().st_size - end, compressed)
    data = path.parent / name
    try:
        if not data.is_file():
            raise DataError(f"{path} keeps its voxels in {data}, which does not exist")
        return _Place(data, 0, data.stat().st_size, compressed)
    except OSError as error:  # such as a name that is too long
        raise DataError(f"{path} keeps its voxels in a file that cannot be read: {error.strerror}") from error


def _verify_checksum(path: Path) -> None:
    """Compare the checksum of compressed voxels, which SimpleITK does not: damage would go unseen."""
    place = _place(path)
    if not place.compressed:
        return
    decompressor = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    with place.file.open("rb") as file:
        file.seek(place.offset)
        while not decompressor.eof:
            block = file.read(1 << 16)
            if not block:
                raise EOFError
            decompressor.decompress(block)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
