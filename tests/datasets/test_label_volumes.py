"""Label volumes given as files and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.datasets.label_volumes import label_volumes
from spine_ignite.errors import DataError

Writer = Callable[..., Path]


def test_each_volume_once_and_what_is_none_is_told(tmp_path: Path, write_volume: Writer) -> None:
    one = write_volume(tmp_path / "labels" / "1.nii.gz", np.ones((3, 3, 3), np.uint8))
    assert label_volumes([one, tmp_path / "labels"]) == [one]
    (tmp_path / "none").mkdir()
    for path, message in (
        (tmp_path / "none", "holds no volumes"),
        (tmp_path / "gone.nii", "does not exist"),
        (Path(__file__), "is not a volume"),
    ):
        with pytest.raises(DataError, match=message):
            label_volumes([path])
