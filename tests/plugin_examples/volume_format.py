"""A new volume format: NRRD, through SimpleITK; read, and written, wherever volumes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component


@hookimpl
def register_readers(register: RegisterComponent) -> None:
    """Register ``nrrd``."""
    register(Component("nrrd", f"{__name__}:Nrrd", "NRRD, through SimpleITK", suffixes=(".nrrd",)))


class Nrrd:
    """Reads and writes NRRD; SimpleITK's axes point to left, posterior, superior, ours to right, anterior, superior."""

    writes = (".nrrd",)

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], Any, bool]:
        """Return shape and affine from the header."""
        import SimpleITK

        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        return reader.GetSize(), self._affine(reader), True

    def read(self, path: Path, dtype: Any) -> Any:
        """Return the volume; its axes are (I, J, K)."""
        import SimpleITK

        from spine_ignite.volumes.reader import Stored

        image = SimpleITK.ReadImage(str(path))
        return Stored(SimpleITK.GetArrayFromImage(image).T, self._affine(image))

    def write(self, path: Path, array: Any, affine: Any, header: Any) -> None:
        """Write a volume on the grid of an affine."""
        import numpy as np
        import SimpleITK

        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
        image.SetSpacing(spacing.tolist())
        image.SetDirection((np.diag([-1, -1, 1]) @ affine[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin((np.diag([-1, -1, 1]) @ affine[:3, 3]).tolist())
        SimpleITK.WriteImage(image, str(path), useCompression=True)

    def _affine(self, image: Any) -> Any:
        import numpy as np

        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        return np.diag([-1, -1, 1, 1]) @ affine
