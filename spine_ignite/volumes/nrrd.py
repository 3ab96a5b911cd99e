"""NRRD (.nrrd, .nhdr), in nibabel's conventions: index order (I, J, K), RAS+ mm."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.compressed import MAX_ZLIB_RATIO, to_the_end
from spine_ignite.volumes.headers import check_affine, check_voxel_bytes, file_size, spatial_shape, voxel_file_size
from spine_ignite.volumes.nrrd_header import NrrdHeader, read_header
from spine_ignite.volumes.reader import Stored

_MAX_BZIP2_RATIO = 1 << 16  # zeros shrink that much, and hardly more
_RATIOS = {"raw": 1, "gzip": MAX_ZLIB_RATIO, "bzip2": _MAX_BZIP2_RATIO}


class NrrdReader:
    """NRRD as a component; a header by itself (.nhdr) is written as one file."""

    writes = (".nrrd",)

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], NDArray[np.float64], bool]:
        """Read shape ``(I, J, K)``, affine (RAS+ mm) and whether its directions are in the file, from the header alone.

        Raises:
            DataError: the file is missing, no NRRD, not one volume, or its header is nonsense.
        """
        header, _ = _open(path)
        return _shape(path, header), check_affine(path, header.affine), header.oriented

    def read(self, path: Path, dtype: Any) -> Stored:
        """Read the volume.

        Raises:
            DataError: as for :meth:`read_geometry`, or the voxels are truncated or corrupt.
        """
        header, data = _open(path)
        shape, affine = _shape(path, header), check_affine(path, header.affine)
        count = int(np.prod(shape, dtype=object)) * header.dtype.itemsize
        try:
            with data.open("rb") as file:
                file.seek(header.end if data == path else 0)
                content = _decoded(file, header.encoding, count)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise DataError(f"{path} cannot be read: the file is truncated or corrupt") from error
        if len(content) != count:
            raise DataError(f"{path} cannot be read: the file is truncated or corrupt")
        stored = np.frombuffer(content, header.dtype).reshape(shape, order="F")
        native = stored.astype(header.dtype.newbyteorder("=") if dtype is None else dtype, order="C")
        return Stored(native, affine, header.oriented)

    def write(self, path: Path, array: NDArray[Any], affine: NDArray[np.float64], header: Any) -> None:
        """Write voxels ``(I, J, K)`` with an affine in RAS+ mm, compressed; the space is that of ITK and 3D Slicer.

        Raises:
            OSError: the file cannot be written.
        """
        lps = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(affine, np.float64)[:3]
        vectors = [f"({','.join(repr(float(n)) for n in lps[:, axis])})" for axis in range(4)]
        little = array.astype(array.dtype.newbyteorder("<"))
        lines = [
            "NRRD0004",
            f"type: {_TYPE_NAMES[array.dtype.newbyteorder('=').str[1:]]}",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {' '.join(map(str, array.shape))}",
            f"space directions: {' '.join(vectors[:3])}",
            "kinds: domain domain domain",
            "endian: little",
            "encoding: gzip",
            f"space origin: {vectors[3]}",
        ]
        with path.open("wb") as file:
            file.write(("\n".join(lines) + "\n\n").encode("ascii"))
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
                stream.write(little.tobytes(order="F"))

    def further_files(self, path: Path) -> list[Path]:
        """Return the file that holds the voxels, if it is another one than the header's.

        Raises:
            DataError: the file is missing, or no NRRD.
        """
        _, data = _open(path)
        return [data] if data != path else []


_TYPE_NAMES = {
    **{"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32"},
    **{"i8": "int64", "u8": "uint64", "f4": "float", "f8": "double"},
}


def _open(path: Path) -> tuple[NrrdHeader, Path]:
    """Return the header and the file with the voxels, which can hold what the header promises."""
    size = file_size(path)
    header = read_header(path)
    data = path if header.data is None else header.data
    if data == path:
        size -= header.end
    else:
        size = voxel_file_size(path, data)
    check_voxel_bytes(path, data, header.sizes, header.dtype.itemsize, size, _RATIOS[header.encoding])
    return header, data


def _shape(path: Path, header: NrrdHeader) -> tuple[int, ...]:
    """Return the shape without axes of length 1 that are not in space; several values a voxel are no volume."""
    others = [size for axis, size in enumerate(header.sizes) if axis not in header.spatial]
    if len(header.spatial) == 3 and all(size == 1 for size in others):
        return spatial_shape(path, tuple(header.sizes[axis] for axis in header.spatial))
    return spatial_shape(path, header.sizes)


def _decoded(file: IO[bytes], encoding: str, count: int) -> bytes:
    """Return the voxels' bytes, up to one more than there should be; a compressed stream is read to its checksum."""
    if encoding == "raw":
        return file.read(count)
    with to_the_end(gzip.GzipFile(fileobj=file) if encoding == "gzip" else bz2.BZ2File(file)) as stream:
        return stream.read(count)
