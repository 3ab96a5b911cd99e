"""NRRD beside SimpleITK, an independent reader, and beside headers that are written here by the definition."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_ignite.errors import DataError
from spine_ignite.volumes.digests import volume_sha256
from spine_ignite.volumes.nrrd import NrrdReader
from spine_ignite.volumes.reader import written_suffix
from spine_ignite.volumes.volume import read_geometry, read_image, read_label, write_label_like

ARRAY = np.random.default_rng(0).integers(0, 1000, (9, 8, 5)).astype(np.int16)
READER = NrrdReader()


def tilted(array: NDArray[Any], spacing: tuple[float, ...], turn: tuple[float, ...]) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing)
    image.SetOrigin((5.0, -6.0, 7.0))
    image.SetDirection(Rotation.from_euler("xyz", turn).as_matrix().ravel().tolist())
    return image


def assert_same_place(affine: NDArray[Any], image: Any) -> None:
    """ITK's physical points are LPS; the affine is RAS+, so x and y change sign."""
    for index in ((0, 0, 0), (3, 2, 1), (8, 7, 4)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(affine @ [*index, 1], [-x, -y, z, 1], atol=1e-6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spacing=st.tuples(*[st.floats(0.2, 8)] * 3),
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]),
    compressed=st.booleans(),
)
def test_simpleitk_and_this_reader_agree_both_ways(
    tmp_path: Path, spacing: tuple[float, ...], turn: tuple[float, ...], dtype: str, compressed: bool
) -> None:
    image = tilted((ARRAY % 100).astype(dtype), spacing, turn)
    sitk.WriteImage(image, str(tmp_path / "x.nrrd"), useCompression=compressed)
    stored = READER.read(tmp_path / "x.nrrd", None)
    shape, affine, oriented = READER.read_geometry(tmp_path / "x.nrrd")
    assert (shape, oriented, stored.array.dtype) == (ARRAY.shape, True, np.dtype(dtype))
    np.testing.assert_array_equal(stored.array, ARRAY % 100)
    np.testing.assert_array_equal(stored.affine, affine)
    assert_same_place(affine, image)
    READER.write(tmp_path / "again.nrrd", stored.array, affine, None)
    back = sitk.ReadImage(str(tmp_path / "again.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back).T, stored.array)
    assert_same_place(affine, back)


HEADER = """NRRD0005
# a comment
type: short
dimension: 3
space: {space}
sizes: 9 8 5
space directions: (0.5,0,0) (0,0.25,0.1) (0,-0.1,4)
kinds: domain domain domain
endian: big
encoding: {encoding}
space origin: (1,2,3)
Segment0_Name:=L5
"""
PACK = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}


def by_hand(path: Path, space: str = "LPS", encoding: str = "raw", **replaced: str) -> Path:
    """Write ``ARRAY``, the first axis fastest, most significant byte first."""
    text = HEADER.format(space=space, encoding=encoding)
    for old, new in replaced.items():
        lines = [new if line.startswith(old.replace("_", " ") + ":") else line for line in text.split("\n")]
        text = "\n".join(line for line in lines if line) + "\n"
    path.write_bytes(text.encode() + b"\n" + PACK[encoding](ARRAY.astype(">i2").tobytes(order="F")))
    return path


@pytest.mark.parametrize("encoding", list(PACK))
@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_spaces_and_encodings(tmp_path: Path, space: str, signs: tuple[int, ...], encoding: str) -> None:
    image = read_image(by_hand(tmp_path / "x.nrrd", space, encoding))
    np.testing.assert_array_equal(image.array, ARRAY)
    wanted = np.array([[0.5, 0, 0, 1], [0, 0.25, -0.1, 2], [0, 0.1, 4, 3]]) * np.array(signs)[:, None]
    np.testing.assert_allclose(image.affine[:3], wanted)


@pytest.mark.parametrize("units", ['"cm" "cm" "cm"', '"mm" "mm" "um"', "m m m"])
def test_lengths_that_are_not_in_mm_are_refused(tmp_path: Path, units: str) -> None:
    for said in ('"mm" "mm" "mm"', '"" "" ""'):
        read_image(by_hand(tmp_path / "x.nrrd", kinds=f"space units: {said}"))
    with pytest.raises(DataError, match=r"x.nrrd measures space in '(cm|um|m)' \(space units\); write it again in mm"):
        read_image(by_hand(tmp_path / "x.nrrd", kinds=f"space units: {units}"))


def test_a_space_that_does_not_say_where_the_patient_is_is_refused(tmp_path: Path) -> None:
    for space in ("scanner-xyz", "3D-right-handed"):
        with pytest.raises(DataError, match="does not say how it is oriented"):
            read_image(by_hand(tmp_path / "x.nrrd", space))
    plain = by_hand(tmp_path / "x.nrrd", space_directions="spacings: 0.5 0.25 4", space_origin="", space="")
    with pytest.raises(DataError, match="does not say how it is oriented"):
        read_image(plain)


def test_voxels_beside_a_header_and_an_axis_of_one_value(tmp_path: Path) -> None:
    path = tmp_path / "x.nhdr"
    sitk.WriteImage(tilted(ARRAY, (1, 1, 4), (0.1, 0.2, 0.3)), str(path))
    np.testing.assert_array_equal(read_image(path).array, ARRAY)
    (data,) = (file for file in tmp_path.iterdir() if file != path)
    assert READER.further_files(path) == [data]
    before = volume_sha256(path)
    data.write_bytes(data.read_bytes()[:-1] + b"\0")
    assert volume_sha256(path) != before
    data.unlink()
    with pytest.raises(DataError, match=f"keeps its voxels in {data}, which does not exist"):
        read_geometry(path)
    listed = {"dimension": "dimension: 4", "space_directions": "space directions: none (1,0,0) (0,1,0) (0,0,4)"}
    one = by_hand(tmp_path / "one.nrrd", sizes="sizes: 1 9 8 5", kinds="kinds: list domain domain domain", **listed)
    np.testing.assert_array_equal(read_label(one).array, ARRAY)
    two = by_hand(tmp_path / "two.nrrd", sizes="sizes: 3 3 8 5", **listed)
    with pytest.raises(DataError, match="has 4 dimensions"):
        read_image(two)


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: cut(by_hand(p)), "promises 720 bytes of voxels, the file has 700"),
        (lambda p: cut(by_hand(p, encoding="gzip")), "truncated or corrupt"),
        (lambda p: cut(by_hand(p, encoding="bzip2")), "truncated or corrupt"),
        (lambda p: by_hand(p, sizes="sizes: 90000 90000 90000"), "promises 1458000000000000 bytes"),
        (lambda p: by_hand(p, sizes="sizes: 9 8"), "its sizes are '9 8'"),
        (lambda p: by_hand(p, sizes="sizes: 9 8 -5"), "its sizes are '9 8 -5'"),
        (lambda p: by_hand(p, type="type: block"), "of the type 'block'; numbers are needed"),
        (lambda p: by_hand(p, endian="# none"), "does not say the order of bytes"),
        (lambda p: by_hand(p, kinds="byte skip: 4"), "skips a part of the file"),
        (lambda p: by_hand(p, kinds="data file: LIST"), "in several files"),
        (lambda p: by_hand(p, kinds=f"data file: {'v' * 300}"), "File name too long"),
        (lambda p: by_hand(p, kinds="type: float"), "has type twice"),
        (lambda p: by_hand(p, space_directions="space directions: (1,0,0) (0,1,0) (0,nan,4)"), "are not those of a"),
        (lambda p: by_hand(p, space_directions="space directions: (1,0,0) (0,1,0) (0,1,0)"), "singular"),
        (lambda p: by_hand(p, space_directions="space directions: (1,0,0) (0,1,0) (0,0,4000)"), "voxel spacing"),
        (lambda p: (p.write_bytes(b"NRRD"), p)[1], "is not a readable NRRD file: it does not begin as one"),
        (lambda p: (p.write_bytes(b"NRRD0004\ntype: short\n"), p)[1], "its header has no dimension"),
    ],
)
def test_a_damaged_file_is_refused_with_its_path(tmp_path: Path, damage: Callable[[Path], Path], message: str) -> None:
    path = damage(tmp_path / "bad.nrrd")
    with pytest.raises(DataError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "x.nrrd", encoding="gzip")
    sound = path.read_bytes()
    for place in np.random.default_rng(0).integers(sound.index(b"\n\n") + 12, len(sound), 12):
        damaged = bytearray(sound)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="truncated or corrupt"):
            read_image(path)


def test_labels_are_written_on_the_grid(tmp_path: Path) -> None:
    image = read_image(by_hand(tmp_path / "x.nrrd"))
    assert (written_suffix(".nrrd"), written_suffix(".nhdr")) == (".nrrd", ".nrrd")
    write_label_like(tmp_path / "y.nrrd", (ARRAY % 7).astype(np.int64), image)
    again = read_label(tmp_path / "y.nrrd")
    np.testing.assert_array_equal(again.array, ARRAY % 7)
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-12)
    assert sitk.ReadImage(str(tmp_path / "y.nrrd")).GetPixelIDTypeAsString() == "8-bit unsigned integer"
