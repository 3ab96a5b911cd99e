from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.volumes.maps import PlaneSpool, write_map, write_maps
from spine_ignite.volumes.volume import read_image

Writer = Callable[..., Path]


@pytest.mark.parametrize("axes", ["PSR", "LAI"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_reads_what_was_written(tmp_path: Path, write_volume: Writer, axes: str, suffix: str) -> None:
    rng = np.random.default_rng(0)
    source = write_volume(tmp_path / "x.nii.gz", rng.normal(size=(4, 5, 6)).astype("f4"), (0.5, 0.7, 4), axes)
    volume = read_image(source)
    volumes = rng.random((3, 4, 5, 6)).astype(np.float32)
    write_maps(tmp_path / f"four{suffix}", iter(volumes), 3, volume)
    write_map(tmp_path / f"three{suffix}", volumes[0], volume)
    four, three, original = (
        nib.load(path) for path in (tmp_path / f"four{suffix}", tmp_path / f"three{suffix}", source)
    )
    np.testing.assert_array_equal(np.moveaxis(four.get_fdata(), -1, 0), volumes.astype(np.float64))
    np.testing.assert_array_equal(three.get_fdata(), volumes[0].astype(np.float64))
    for written in (four, three):
        np.testing.assert_array_equal(written.affine, original.affine)
        assert written.get_data_dtype() == np.float32
        assert written.header.get_xyzt_units() == original.header.get_xyzt_units()
        assert [int(written.header[code]) for code in ("sform_code", "qform_code")] == [
            int(original.header[code]) for code in ("sform_code", "qform_code")
        ]


def test_a_spool_gives_back_class_after_class(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((7, 3, 4, 5)).astype(np.float32)
    with PlaneSpool(tmp_path / "folder", 3, (4, 5)) as spool:
        for start in (0, 3, 6):
            spool.append(planes[start : start + 3])
        for index in (2, 0, 1):
            np.testing.assert_array_equal(spool.read(index), planes[:, index])
    assert list((tmp_path / "folder").iterdir()) == []
