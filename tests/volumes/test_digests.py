from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

from spine_ignite.errors import DataError
from spine_ignite.volumes.digests import file_sha256, volume_sha256


def test_voxels_beside_a_header_count(tmp_path: Path) -> None:
    path = tmp_path / "scan.mhd"
    digests = []
    for value in (0, 1):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 3, 4), value, np.int16)), str(path))
        digests.append((file_sha256(path), volume_sha256(path)))
    assert digests[0][0] == digests[1][0], "the header is the same"
    assert digests[0][1] != digests[1][1]
    assert digests[0][0] == hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "scan.raw").unlink()
    with pytest.raises(DataError, match="keeps its voxels in .*scan.raw, which does not exist"):
        volume_sha256(path)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.nii.gz"):
        with pytest.raises(DataError):
            volume_sha256(path)
