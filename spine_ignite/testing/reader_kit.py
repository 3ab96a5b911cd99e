"""Everything that the core expects of a reader of volumes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.testing.component_kit import ComponentConformance
from spine_ignite.volumes import reader
from spine_ignite.volumes.volume import read_image, read_label, write_label_like

Affine = NDArray[np.float64]

# Where the array's axes point to, and how far they are tilted, in degrees.
GRIDS = {"PSR": 0.0, "RAS": 0.0, "LIA": 0.0, "ASL": 12.0, "RSP": -7.0}


class ReaderConformance(ComponentConformance):
    """Base class of a reader's conformance test.

    Attributes:
        tolerance: of affines, in mm; some formats keep single precision.
        cut: share of a file that is left of a truncated one.
    """

    kind: ClassVar[str] = "reader"
    tolerance: ClassVar[float] = 1e-3
    cut: ClassVar[float] = 0.6

    @property
    def suffix(self) -> str:
        """The ending of the files that are written for the tests, the first that the reader has."""
        return self.registered.value.suffixes[0]

    def write(self, path: Path, array: NDArray[Any], affine: Affine) -> None:
        """Write a volume ``(I, J, K)``; replace this where the reader has no ``write`` of its own."""
        made = self.choose()()
        if not hasattr(made, "write"):
            raise NotImplementedError("the reader does not write: give the test a method write(path, array, affine)")
        made.write(path, array, affine, None)

    @pytest.mark.parametrize("axes", GRIDS)
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
    def test_a_volume_is_read_as_it_was(self, tmp_path: Path, axes: str, dtype: type[np.generic]) -> None:
        """Voxels, shape and place, for axes in any order and tilted; the header alone says the same."""
        array, affine = volume(dtype), grid(axes, GRIDS[axes])
        path = tmp_path / f"Case1{self.suffix}"
        self.write(path, array, affine)
        before = hashlib.sha256(path.read_bytes()).digest()
        stored = reader.read(path, None)
        np.testing.assert_array_equal(stored.array, array)
        np.testing.assert_allclose(stored.affine, affine, atol=self.tolerance)
        assert stored.oriented, "the affine is in the file, and the reader says that it is a guess"
        shape, header, oriented = reader.read_geometry(path)
        assert (tuple(shape), oriented) == (array.shape, True), f"the header says {tuple(shape)}"
        np.testing.assert_allclose(header, stored.affine, atol=1e-9, err_msg="header and volume lie elsewhere")
        assert hashlib.sha256(path.read_bytes()).digest() == before, "reading changes the file"

    def test_voxels_come_in_the_type_that_is_asked_for(self, tmp_path: Path) -> None:
        """An image as float32, a mask with its integers."""
        path = tmp_path / f"Case1{self.suffix}"
        self.write(path, volume(np.int16), grid("PSR", 0))
        dtype = read_image(path).array.dtype
        assert dtype == np.float32, f"an image is read as {dtype}"
        np.testing.assert_array_equal(read_label(path).array, volume(np.int16))

    def test_the_ending_may_be_in_capitals(self, tmp_path: Path) -> None:
        """As some programs write it."""
        path = tmp_path / f"Case1{self.suffix}"
        self.write(path, volume(np.int16), grid("PSR", 0))
        shouted = path.rename(tmp_path / f"CASE1{self.suffix.upper()}")
        np.testing.assert_array_equal(read_image(shouted).array, volume(np.int16))

    def test_labels_are_written_where_the_image_lies(self, tmp_path: Path) -> None:
        """Of a reader that writes: values and place come back, whatever type they have."""
        made = self.choose()()
        if not hasattr(made, "write"):
            pytest.skip("the reader does not write")
        assert set(made.writes) <= set(self.registered.value.suffixes), f"it writes {made.writes}, which it cannot read"
        path = tmp_path / f"Case1{made.writes[0]}"
        self.write(path, volume(np.int16), grid("ASL", 12))
        image = read_image(path)
        for values in (np.eye(5, 6, dtype=np.uint8), 300 * np.eye(5, 6, dtype=np.uint16)):
            labels = np.broadcast_to(values[..., None], image.array.shape)
            out = tmp_path / f"label{made.writes[0]}"
            write_label_like(out, labels, image)
            found = read_label(out)
            np.testing.assert_array_equal(found.array, labels)
            np.testing.assert_allclose(found.affine, image.affine, atol=self.tolerance)

    def test_what_is_no_such_file_is_refused_by_its_name(self, tmp_path: Path) -> None:
        """Truncated, empty and foreign files, and none; nothing is made up for them."""
        whole = tmp_path / f"whole{self.suffix}"
        self.write(whole, volume(np.int16), grid("PSR", 0))
        content = whole.read_bytes()
        bad = {"truncated": content[: int(len(content) * self.cut)], "empty": b"", "foreign": b"a letter\n" * 400}
        for name, data in bad.items():
            path = tmp_path / f"{name}{self.suffix}"
            path.write_bytes(data)
            with pytest.raises(DataError, match=name):
                read_image(path)
        with pytest.raises(DataError, match="nowhere"):
            read_image(tmp_path / f"nowhere{self.suffix}")


def volume(dtype: type[np.generic]) -> NDArray[Any]:
    """Voxels ``(5, 6, 7)`` of which no two are alike, so that no order of axes is mistaken for another."""
    array: NDArray[Any] = np.arange(210).reshape(5, 6, 7).astype(dtype)
    return array


def grid(axes: str, degrees: float) -> Affine:
    """Return an affine (RAS+ mm) whose axes point as said, tilted about the axis from left to right."""
    affine = np.zeros((4, 4))
    for axis, (letter, spacing) in enumerate(zip(axes, (0.7, 1.3, 4.4), strict=True)):
        row = next(n for n, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = spacing if letter in "RAS" else -spacing
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    affine[:3, :3] = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ affine[:3, :3]
    affine[:, 3] = (-10.5, 20.25, 30.125, 1)
    return affine
