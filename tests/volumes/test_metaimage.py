from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from spine_ignite.errors import DataError
from spine_ignite.volumes.metaimage import read, read_geometry, write

ARRAY = np.random.default_rng(0).integers(0, 1000, (9, 8, 5)).astype(np.int16)


def save(path: Path, compressed: bool = True) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(ARRAY.T)), str(path), useCompression=compressed)
    return path


def replace(path: Path, key: bytes, value: bytes) -> Path:
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(key + b" = " + value if line.startswith(key + b" ") else line for line in lines))
    return path


def test_world_positions_are_those_that_itk_gives(tmp_path: Path) -> None:
    """ITK's physical points are LPS; the affine is RAS+, so x and y change sign."""
    oblique = sitk.GetImageFromArray(np.ascontiguousarray(ARRAY.T))
    oblique.SetSpacing((0.7, 0.8, 4.0))
    oblique.SetOrigin((5.0, -6.0, 7.0))
    c, s = np.cos(0.3), np.sin(0.3)
    oblique.SetDirection((0, 0, 1, c, -s, 0, s, c, 0))
    sitk.WriteImage(oblique, str(tmp_path / "x.mha"))
    array, affine, _ = read(tmp_path / "x.mha")
    np.testing.assert_array_equal(array, ARRAY)
    for index in ((0, 0, 0), (3, 2, 1), (8, 7, 4)):
        x, y, z = oblique.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(affine @ [*index, 1], [-x, -y, z, 1], atol=1e-9)
    write(tmp_path / "again.mha", array, affine)
    np.testing.assert_allclose(read_geometry(tmp_path / "again.mha")[1], affine, atol=1e-9)


@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_may_lie_in_a_file_of_their_own(tmp_path: Path, compressed: bool) -> None:
    big = np.zeros((20, 150, 150), np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(big), str(tmp_path / "x.mhd"), useCompression=compressed)
    assert read(tmp_path / "x.mhd")[0].shape == (150, 150, 20)
    (data,) = (path for path in tmp_path.iterdir() if path.suffix != ".mhd")
    data.unlink()
    with pytest.raises(DataError, match=f"keeps its voxels in {data}, which does not exist"):
        read(tmp_path / "x.mhd")


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    volume = sitk.ReadImage(str(save(tmp_path / "x.mha")))
    sitk.WriteImage(sitk.JoinSeries([volume]), str(tmp_path / "one.mha"))
    np.testing.assert_array_equal(read(tmp_path / "one.mha")[0], ARRAY)
    sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(tmp_path / "two.mha"))
    with pytest.raises(DataError, match="has 4 dimensions"):
        read(tmp_path / "two.mha")


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    sound = save(tmp_path / "x.mha").read_bytes()
    start = sound.index(b"LOCAL") + 8
    rng = np.random.default_rng(0)
    for place in rng.integers(start, len(sound), 12):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "bad.mha").write_bytes(damaged)
        with pytest.raises(DataError, match="truncated or corrupt"):
            read(tmp_path / "bad.mha")


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "truncated or corrupt"),
        (lambda path: replace(path, b"DimSize", b"90000 90000 90000"), "promises 729000000000000 voxels"),
        (lambda path: replace(path, b"ElementSpacing", b"0 1 1"), "voxel spacing of 0 x 1 x 1 mm"),
        (lambda path: replace(path, b"ElementSpacing", b"-1 1 1"), "voxel spacing of -1 x 1 x 1 mm"),
    ],
)
def test_a_damaged_file_is_refused_with_its_path(
    tmp_path: Path, damage: Callable[[Path], Path], message: str, compressed: bool
) -> None:
    path = damage(save(tmp_path / "bad.mha", compressed))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    path = replace(save(tmp_path / "x.mha"), b"ElementDataFile", b"v" * 300)
    with pytest.raises(DataError, match="keeps its voxels in a file that cannot be read: File name too long"):
        read_geometry(path)
