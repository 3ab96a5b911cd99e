"""MGH beside its definition (surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat): the header is packed here."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_ignite.errors import DataError
from spine_ignite.volumes.reader import written_suffix
from spine_ignite.volumes.volume import Reading, read_geometry, read_image, read_label, write_label_like

ARRAY = np.random.default_rng(0).integers(0, 100, (9, 8, 5)).astype(np.int16)
SPACING = np.array([0.5, 0.75, 4.0])
COSINES = Rotation.from_euler("xyz", (0.3, -0.7, 2.1)).as_matrix()
CENTRE = np.array([11.0, -20.0, 33.0])
CODES = {"u1": 0, "i4": 1, "f4": 3, "i2": 4}


def packed(dtype: str = "i2", good: int = 1, frames: int = 1, sizes: tuple[int, ...] = ARRAY.shape) -> bytes:
    header = struct.pack(">7i", 1, *sizes, frames, CODES[dtype], 0) + struct.pack(">h", good)
    header += struct.pack(">15f", *SPACING, *COSINES.T.ravel(), *CENTRE)
    return header.ljust(284, b"\0") + frames * ARRAY.astype(f">{dtype}").tobytes(order="F")


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".mgz" else content)
    return path


def wanted() -> NDArray[Any]:
    """Cosines in columns, times the spacing; the voxel of half the size lies at the centre."""
    affine = np.eye(4)
    affine[:3, :3] = COSINES * SPACING
    affine[:3, 3] = CENTRE - affine[:3, :3] @ (np.array(ARRAY.shape) / 2)
    return affine


@pytest.mark.parametrize("dtype", list(CODES))
@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
def test_voxels_and_place(tmp_path: Path, dtype: str, suffix: str) -> None:
    path = save(tmp_path / f"x{suffix}", packed(dtype))
    shape, affine = read_geometry(path)
    image = read_image(path)
    assert shape == ARRAY.shape
    np.testing.assert_allclose(affine, wanted(), atol=1e-5)  # the format has single precision
    np.testing.assert_array_equal(image.affine, affine)
    np.testing.assert_array_equal(image.array, ARRAY)


def test_labels_lie_exactly_where_their_image_does(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "x.mgz", packed()))
    assert written_suffix(".mgz") == ".mgz"
    for name, values in (("y.mgz", ARRAY.astype(np.uint8)), ("z.mgh", ARRAY.astype(np.int32) + 40000)):
        write_label_like(tmp_path / name, values, image)
        again = read_label(tmp_path / name)
        np.testing.assert_array_equal(again.array, values)
        np.testing.assert_array_equal(again.affine, image.affine)
    stored = gzip.decompress((tmp_path / "y.mgz").read_bytes())
    assert stored[:90] == packed("u1")[:90], "the whole of the header"
    assert stored[284 : 284 + ARRAY.size] == ARRAY.astype("u1").tobytes(order="F")


def test_a_header_without_directions_is_refused_or_told(tmp_path: Path) -> None:
    path = save(tmp_path / "x.mgz", packed(good=0))
    with pytest.raises(DataError, match="does not say how it is oriented"):
        read_image(path)
    affine = read_image(path, Reading("PSR")).affine
    assert np.abs(affine[:3, :3]).argmax(0).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed()[:-20], "truncated or corrupt"),
        (packed(sizes=(90000, 9000, 9000)), "truncated or corrupt: its header promises"),
        (packed(frames=2), "has 4 dimensions"),
        (packed()[:200], "truncated or corrupt"),
        (b"", "not a readable MGH image"),
    ],
)
@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
def test_what_is_damaged_is_refused_with_its_path(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = save(tmp_path / f"bad{suffix}", content)
    with pytest.raises(DataError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = save(tmp_path / "x.mgz", packed())
    sound = path.read_bytes()
    flip: Callable[[int], bytes] = lambda place: sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :]  # noqa: E731
    for place in np.random.default_rng(0).integers(300, len(sound), 12):
        path.write_bytes(flip(int(place)))
        with pytest.raises(DataError, match="truncated or corrupt"):
            read_image(path)
