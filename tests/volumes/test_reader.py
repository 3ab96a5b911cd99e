"""A format of one's own, beside those of the core; the whole way of one through the program is in tests/examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.errors import DataError, UsageError
from spine_ignite.volumes.reader import Stored, further_files, suffixes, volume_stem, volume_suffix, written_suffix
from spine_ignite.volumes.volume import read_geometry, read_image, read_label, write_label_like

Install = Callable[..., Path]
Writer = Callable[..., Path]


OWN = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".hdr", ".hdr.gz")


class Npz:
    """An array and its affine; only read."""

    def read_geometry(self, path: Path) -> tuple[tuple[int, ...], Any, bool]:
        stored = self.read(path, None)
        return stored.array.shape, stored.affine, True

    def read(self, path: Path, dtype: Any) -> Stored:
        with np.load(path) as file:
            return Stored(file["array"], file["affine"])


def component(name: str = "npz", suffix: str = ".npz") -> str:
    return f"Component('{name}', '{__name__}:Npz', 'an array', suffixes=('{suffix}',))"


AFFINE = np.array([[0, 0, 4.0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def npz(install: Install, tmp_path: Path) -> Path:
    install("acme", register_readers=[component()])
    path = tmp_path / "Case1.NPZ"
    with path.open("wb") as file:
        np.savez(file, array=np.arange(60, dtype=np.int16).reshape(5, 4, 3), affine=AFFINE)
    return path


def test_a_plugin_s_format_is_read_like_any_other(npz: Path, tmp_path: Path) -> None:
    assert suffixes() == (*OWN, ".npz")
    assert (volume_suffix(npz), volume_stem(npz), further_files(npz)) == (".npz", "Case1", [])
    shape, affine = read_geometry(npz)
    assert shape == (5, 4, 3)
    np.testing.assert_array_equal(affine, AFFINE)
    image = read_image(npz)
    assert image.array.dtype == np.float32
    assert written_suffix(".npz") == ".nii.gz", "it cannot be written"
    write_label_like(tmp_path / "out.nii.gz", read_label(npz).array, image)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj), image.array)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii.gz").affine, AFFINE)
    with pytest.raises(DataError, match="label volumes are written as"):
        write_label_like(tmp_path / "out.npz", read_label(npz).array, image)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "cannot be read or written by the reader 'npz' of acme 1.0: KeyError"),
        ({"array": np.zeros((2, 2)), "affine": AFFINE}, "has 2 dimensions"),
        ({"array": np.zeros((2, 2, 2)), "affine": np.zeros((4, 4))}, "an affine that is singular"),
        ({"array": np.full((2, 2, 2), "x"), "affine": AFFINE}, "holds voxels of type <U1; numbers are needed"),
    ],
)
def test_what_a_reader_gives_is_not_believed(npz: Path, content: dict[str, Any], message: str) -> None:
    with npz.open("wb") as file:
        np.savez(file, **content)
    with pytest.raises(DataError, match=message):
        read_image(npz)


def test_the_core_s_endings_stay_the_core_s(install: Install, write_volume: Writer, tmp_path: Path) -> None:
    path = write_volume(tmp_path / "a.nii", np.ones((3, 3, 3), np.int16))
    install("stranger", register_readers=[component("other", ".nii")])
    assert read_image(path).array.sum() == 27


def test_an_ending_that_two_plugins_claim_is_refused(install: Install, npz: Path) -> None:
    install("other", register_readers=[component("other")])
    with pytest.raises(UsageError, match=r"\.npz files are read by both 'npz' of acme 1.0 and 'other' of other 1.0"):
        read_image(npz)
