from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.errors import DataError
from spine_ignite.volumes.headers import check_affine, check_spacing, file_size, spatial_shape

FILE = Path("x.nii")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5), "has 2 dimensions"),
        ((4, 5, 6, 2), "has 4 dimensions"),
        ((4, 0, 6), "is empty"),
        ((2000, 2000, 2000), "more than 2147483648 voxels"),
    ],
)
def test_a_shape_that_is_not_a_scan(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        spatial_shape(FILE, shape)


def test_further_axes_of_length_one_are_dropped() -> None:
    assert spatial_shape(FILE, (4, 5, 1, 1, 1)) == (4, 5, 1)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1e-3, 1e6, np.nan, np.inf])
def test_a_spacing_that_no_scan_has(wrong: float) -> None:
    check_spacing(FILE, (0.02, 1, 50))
    with pytest.raises(DataError, match="x.nii has a voxel spacing of 1 x 1 x .* mm, expected 0.01 to 100 mm"):
        check_spacing(FILE, (1, 1, wrong))


@pytest.mark.parametrize("entry", [0.0, np.nan, np.inf])
def test_an_affine_that_cannot_be_inverted(entry: float) -> None:
    affine: Any = np.diag([1.0, entry, 4.0, 1.0])
    with pytest.raises(DataError, match="singular or not finite"):
        check_affine(FILE, affine)
    parallel = np.eye(4)
    parallel[:3, 1] = parallel[:3, 0]
    with pytest.raises(DataError, match="singular or not finite"):
        check_affine(FILE, parallel)


def test_small_voxels_are_not_taken_for_a_singular_affine() -> None:
    assert check_affine(FILE, np.diag([0.02, 0.02, 0.02, 1.0])).dtype == np.float64


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not an image"):
        file_size(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Case1.nii.gz")
    with pytest.raises(DataError, match="is a pipe or device, not a file"):
        file_size(tmp_path / "Case1.nii.gz")
