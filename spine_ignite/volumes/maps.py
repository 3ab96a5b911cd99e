"""Write maps of real numbers on a volume's grid, as NIfTI: one volume, or one for each class."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from spine_ignite.errors import RunError
from spine_ignite.files import explain, refuse_links, write_atomically
from spine_ignite.volumes.volume import Volume, nifti_like

Map = NDArray[np.float32]


def write_map(path: Path, values: Map, like: Volume) -> None:
    """Write one float32 volume ``(I, J, K)`` on the grid of ``like``.

    Raises:
        RunError: the file cannot be written.
    """
    _write(path, [values], like.array.shape, like)


def write_maps(path: Path, volumes: Iterable[Map], count: int, like: Volume) -> None:
    """Write ``count`` float32 volumes ``(I, J, K)`` as one of four dimensions, holding one at a time in memory.

    Raises:
        RunError: the file cannot be written.
    """
    _write(path, volumes, (*like.array.shape, count), like)


def _write(path: Path, volumes: Iterable[Map], shape: tuple[int, ...], like: Volume) -> None:
    # nibabel wants all voxels at once: it makes the header, for an array of the shape that takes no memory.
    header = nifti_like(np.broadcast_to(np.float32(0), shape), like).header
    header.set_slope_inter(1, 0)
    with write_atomically(path) as temporary, ImageOpener(str(temporary), "wb") as file:
        header.write_to(file)
        for values in volumes:
            for plane in np.moveaxis(values, -1, 0):  # plane by plane: the copy in the file's order is small
                file.write(plane.astype(header.get_data_dtype(), copy=False).tobytes(order="F"))


class PlaneSpool:
    """Planes of many classes on disk: written slice after slice, read class after class.

    Args:
        folder: where the temporary file is; it vanishes on leaving the context.
        classes: number of classes.
        size: rows and columns of a plane.
    """

    def __init__(self, folder: Path, classes: int, size: tuple[int, int]) -> None:
        self.folder = folder
        self.classes = classes
        self.size = size
        self.slices = 0
        try:
            refuse_links(folder / "spool")
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed on leaving the context
        except OSError as error:
            raise RunError(explain(error, folder)) from error

    def __enter__(self) -> PlaneSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, planes: Map) -> None:
        """Add slices ``(S, classes, H, W)``.

        Raises:
            RunError: the disk is full.
        """
        try:
            self._file.write(np.ascontiguousarray(planes, np.float32).data)
        except OSError as error:
            raise RunError(explain(error, self.folder)) from error
        self.slices += len(planes)

    def read(self, index: int) -> Map:
        """Return all slices ``(S, H, W)`` of a class."""
        planes = np.empty((self.slices, *self.size), np.float32)
        for number, plane in enumerate(planes):
            self._file.seek((number * self.classes + index) * plane.nbytes)
            self._file.readinto(plane.data)
        return planes
