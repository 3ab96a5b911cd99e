"""Which descriptions of a series are shown: those of which every word is known to be no name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.volumes.dicom.dicom_reader import series_of
from spine_ignite.volumes.dicom.series_choice import shown

pytest.importorskip("pydicom")
Writer = Callable[..., Path]
AFFINE = np.array([[0.0, 0, 4, -10], [-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("description", "safe"),
    [
        *[(text, True) for text in ("t2 tse sag", " T2_TSE_SAG 3 ", "t1-sag (L-Spine)")],
        *[(text, False) for text in ("T1 Secret Name", "t2 sag 王小明", "t2 sag Иванов", "t2 sag Ö", "t2 sag 0412")],
        *[(text, False) for text in ("03.05.61", "t2 03.05.61", "t2 sag 03 05", "12", "--", "", "t2\x07sag")],
        ("t2 sag " * 9 + "t2", False),
    ],
)
def test_a_description_is_shown_that_names_nobody(
    description: str, safe: bool, tmp_path: Path, write_series: Writer
) -> None:
    headers = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": description}
    folder = write_series(tmp_path / "study" / "s", np.ones((8, 8, 5), np.uint16), AFFINE, **headers)
    assert shown(series_of(folder)[1]) == ("series 4" + (f" '{description.strip()}'" if safe else ""))
