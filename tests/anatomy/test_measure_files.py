"""Label volumes in files: what is written, what is refused, and that one bad file does not stop the others."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.anatomy.figures import FIGURES, PURPOSE
from spine_ignite.anatomy.measure_files import measure_files, write_measurements
from spine_ignite.cli import run
from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme

Writer = Callable[..., Path]
SCHEME = load_scheme("lumbar-vertebrae")


def bodies() -> NDArray[np.uint8]:
    """L3 and L4 as boxes of 34 x 28 x 40 mm, 10 mm apart, for axes to posterior, superior, right of 1, 1 and 4 mm."""
    array = np.zeros((60, 90, 16), np.uint8)
    array[10:44, 50:78, 3:13] = 4
    array[10:44, 12:40, 3:13] = 3
    return array


def test_a_table_has_a_row_for_each_level_and_says_what_it_is_for(tmp_path: Path, write_volume: Writer) -> None:
    labels, out = write_volume(tmp_path / "=1+1.nii.gz", bodies()), tmp_path / "table.csv"
    write_measurements(out, measure_files([labels], SCHEME), SCHEME)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["level"], row["kind"]) for row in rows] == [("L3", "vertebra"), ("L3/L4", "disc"), ("L4", "vertebra")]
    assert float(rows[0]["height_middle_mm"]) == pytest.approx(28, abs=0.1)
    assert float(rows[0]["depth_mm"]) == pytest.approx(34, abs=0.1)
    assert float(rows[0]["volume_ml"]) == pytest.approx(34 * 28 * 40 / 1000)
    assert float(rows[1]["height_mm"]) == pytest.approx(10, abs=0.1)
    assert rows[1]["width_mm"] == ""
    assert {row["use"] for row in rows} == {PURPOSE}


def test_json_has_units_and_definitions(tmp_path: Path, write_volume: Writer) -> None:
    labels, out = write_volume(tmp_path / "a.nii.gz", bodies()), tmp_path / "a.json"
    write_measurements(out, measure_files([labels], SCHEME), SCHEME)
    found = json.loads(out.read_text())
    assert found["use"] == PURPOSE
    assert found["figures"].keys() == FIGURES.keys()
    assert found["figures"]["slip_percent"]["unit"] == "%"
    levels = found["files"][0]["levels"]
    assert {name for level in levels for name in level} <= {*FIGURES, "level", "kind", "flags"}
    assert levels[1]["slip_mm"] == pytest.approx(0, abs=0.1)


def test_a_file_that_cannot_be_measured_does_not_stop_the_others(tmp_path: Path, write_volume: Writer) -> None:
    good = write_volume(tmp_path / "1.nii.gz", bodies())
    empty = write_volume(tmp_path / "2.nii.gz", np.zeros((9, 9, 9), np.uint8))
    unknown = write_volume(tmp_path / "3.nii.gz", np.full((9, 9, 9), 99, np.uint8))
    cut = tmp_path / "4.nii.gz"
    cut.write_bytes(good.read_bytes()[:-40])
    flat = write_volume(tmp_path / "5.nii.gz", bodies()[:, :, 0])
    found = measure_files([good, empty, unknown, cut, flat], SCHEME)
    assert found[0].error is None
    assert found[1].error == f"{empty} labels nothing of the scheme 'lumbar-vertebrae'; choose another scheme or file"
    assert str(found[2].error).startswith(f"{unknown}: label values 99 (729 voxels) are not in the scheme")
    assert found[3].error == f"{cut} cannot be read: the file is truncated or corrupt"
    assert str(found[4].error).startswith(str(flat))
    with gzip.open(good) as stream:
        assert stream.read(4)  # and the good one is as it was


def test_an_image_belongs_to_each_label_volume_by_its_case_id(tmp_path: Path, write_volume: Writer) -> None:
    scheme = load_scheme("spine")
    index = {c.name: c.value for c in scheme.classes}
    array = np.zeros((80, 90, 16), np.uint8)
    array[10:44, 50:78, 3:13], array[10:44, 12:40, 3:13] = index["L3"], index["L4"]
    array[11:43, 40:50, 4:12] = index["L3/L4"]
    array[48:62, :, 5:11] = index["canal"]
    image = np.select([array == index["L3/L4"], array == index["canal"]], [60.0, 240.0], 10.0).astype(np.float32)
    labels = write_volume(tmp_path / "labels" / "mask_case1.nii.gz", array)
    write_volume(tmp_path / "images" / "Case1.nii.gz", image)
    found = measure_files([labels], scheme, tmp_path / "images")[0]
    rows = {row.level: row.figures for row in found.rows}
    assert rows["L3/L4"]["signal_ratio"] == pytest.approx(0.25)
    assert rows["L3"]["canal_ap_mm"] == pytest.approx(14, abs=0.1)
    with pytest.raises(UsageError, match="is one image for 2 label volumes; give the folder of their images"):
        measure_files([labels, labels], scheme, tmp_path / "images" / "Case1.nii.gz")


def test_the_command(tmp_path: Path, write_volume: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_volume(tmp_path / "labels" / "1.nii.gz", bodies())
    assert run(["measure", str(labels), "--scheme", "lumbar-vertebrae"]) == 0
    shown = capsys.readouterr().out
    assert "L3/L4" in shown
    assert PURPOSE in shown
    out = tmp_path / "m.csv"
    assert run(["measure", str(labels.parent), "--scheme", "lumbar-vertebrae", "-o", str(out)]) == 0
    assert out.is_file()
    assert run(["measure", str(labels), "--scheme", "lumbar-vertebrae", "-o", str(tmp_path / "m.txt")]) == 2
    assert "must end in .csv or .json" in capsys.readouterr().err
    write_volume(tmp_path / "labels" / "2.nii.gz", np.zeros((9, 9, 9), np.uint8))
    assert run(["measure", str(labels.parent), "--scheme", "lumbar-vertebrae", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["use"] == PURPOSE
    assert "2.nii.gz labels nothing" in printed.err
