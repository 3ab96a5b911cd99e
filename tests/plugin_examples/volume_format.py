"""A new volume format: an array and its affine in NumPy's .npz; read, and written, wherever volumes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component


@hookimpl
def register_readers(register: RegisterComponent) -> None:
    """Register ``npz``."""
    register(Component("npz", f"{__name__}:Npz", "An array and its affine", suffixes=(".npz",)))


class Npz:
    """Reads and writes ``array``, (I, J, K), and ``affine``, voxel indices to RAS+ mm."""

    writes = (".npz",)

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], Any, bool]:
        """Return shape and affine; members are read one by one, but an array has no header by itself."""
        stored = self.read(path, None)
        return stored.array.shape, stored.affine, True

    def read(self, path: Path, dtype: Any) -> Any:
        """Return the volume."""
        import numpy as np

        from spine_ignite.volumes.reader import Stored

        with np.load(path) as file:
            return Stored(file["array"], file["affine"])

    def write(self, path: Path, array: Any, affine: Any, header: Any) -> None:
        """Write a volume on the grid of an affine."""
        import numpy as np

        np.savez_compressed(path, array=array, affine=affine)
