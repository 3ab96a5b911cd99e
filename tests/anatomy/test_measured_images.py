"""The signal of discs under a segmentation in DICOM is that of the series that it was made of, wherever that lies."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.anatomy.measure_files import Measured, measure_files
from spine_ignite.cli import run
from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.volumes.dicom.segmentations import write_segmentation
from spine_ignite.volumes.reader import read

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
Writer = Callable[..., Path]
SCHEME = load_scheme("spine")
INDEX = {c.name: c.value for c in SCHEME.classes}
AFFINE = np.array([[0, 0, 3, -30], [-1, 0, 0, 40], [0, -1, 0, 60], [0, 0, 0, 1]], float)


def labels() -> NDArray[np.uint8]:
    """Two bodies with a disc before a canal, in the middle slices: none in the first four and the last three."""
    array = np.zeros((80, 90, 20), np.uint8)
    array[10:44, 12:40, 4:16], array[10:44, 50:78, 4:16] = INDEX["L3"], INDEX["L4"]
    array[11:43, 40:50, 5:15] = INDEX["L3/L4"]
    array[48:62, :, 5:17] = INDEX["canal"]
    return array


def image(disc: int) -> NDArray[np.uint16]:
    """Grey values by which the disc has the signal of its fluid, divided by 240."""
    array = labels()
    return np.select([array == INDEX["L3/L4"], array == INDEX["canal"]], [disc, 240], 10).astype(np.uint16)


@pytest.fixture
def cohort(tmp_path: Path, write_series: Writer) -> Path:
    """Two exams of two series on one grid; the second of each is labelled, though the first would be chosen."""
    for number, (first, second) in enumerate(((12, 60), (24, 120)), 1):
        exam = tmp_path / "cohort" / f"exam{number}"
        write_series(exam / "a", image(first), AFFINE)
        source = write_series(exam / "b", image(second), AFFINE, SeriesNumber=7)
        flipped = not np.allclose(read(source, None).affine, AFFINE, atol=1e-3)
        values = labels()[:, :, ::-1] if flipped else labels()
        write_segmentation(tmp_path / f"exam{number}.dcm", values, source, SCHEME, "unet")
    return tmp_path / "cohort"


def ratio(measured: Measured) -> float:
    assert measured.error is None
    return next(row.figures.get("signal_ratio", math.nan) for row in measured.rows if row.level == "L3/L4")


def test_a_segmentation_is_measured_as_a_label_volume_on_the_whole_grid(cohort: Path, tmp_path: Path) -> None:
    """Its frames are those with a label alone; the field of view ends elsewhere, and cuts nothing off."""
    nib.save(nib.Nifti1Image(labels(), AFFINE), tmp_path / "same.nii.gz")
    nib.save(nib.Nifti1Image(image(60), AFFINE), tmp_path / "image.nii.gz")
    same = measure_files([tmp_path / "same.nii.gz"], SCHEME, tmp_path / "image.nii.gz")[0]
    assert ratio(same) == pytest.approx(0.25)
    for images in (cohort / "exam1" / "b", cohort / "exam1", cohort, tmp_path / "image.nii.gz"):
        found = measure_files([tmp_path / "exam1.dcm"], SCHEME, images)[0]
        assert found.error is None
        assert [row.level for row in found.rows] == [row.level for row in same.rows]
        for one, other in zip(found.rows, same.rows, strict=True):
            assert one.flags == other.flags
            assert one.figures == pytest.approx(other.figures, rel=1e-4, abs=1e-3, nan_ok=True)
    without = measure_files([tmp_path / "exam1.dcm"], SCHEME)[0]
    assert [row.flags for row in without.rows] == [row.flags for row in same.rows]


def test_each_segmentation_finds_its_series_among_many(cohort: Path, tmp_path: Path) -> None:
    files = [tmp_path / "exam1.dcm", tmp_path / "exam2.dcm"]
    assert [ratio(one) for one in measure_files(files, SCHEME, cohort)] == pytest.approx([0.25, 0.5])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, file in enumerate(sorted(cohort.rglob("IM*"))):
            archive.write(file, str(number))
    assert [ratio(one) for one in measure_files(files, SCHEME, tmp_path / "all.zip")] == pytest.approx([0.25, 0.5])
    named = measure_files(files[:1], SCHEME, cohort / "exam1#4")[0]
    assert ratio(named) == pytest.approx(0.05), "a series that is named is taken"
    missing = measure_files(files, SCHEME, cohort / "exam1")
    assert ratio(missing[0]) == pytest.approx(0.25)
    assert missing[1].error == (
        f"{files[1]} was not made of a series in {cohort / 'exam1'}; give the one that it was made of, or name the "
        "series that is meant, as exam1#4"
    )


def test_one_of_another_program_is_put_on_the_grid_of_its_series(cohort: Path, tmp_path: Path) -> None:
    header = pydicom.dcmread(tmp_path / "exam1.dcm")
    header.ContentDescription = "spine"
    for frame in header.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    header.save_as(tmp_path / "other.dcm")
    found = measure_files([tmp_path / "other.dcm"], SCHEME, cohort)[0]
    assert ratio(found) == pytest.approx(0.25)
    flags = {row.level: row.flags for row in found.rows}
    assert not any("cut off at the side" in said for said in flags.values())
    assert "cut off at the side" in measure_files([tmp_path / "other.dcm"], SCHEME)[0].rows[0].flags


def test_a_source_with_many_frames_has_its_signal(
    tmp_path: Path, write_series: Writer, put_into_frames: Callable[..., None]
) -> None:
    put_into_frames(write_series(tmp_path / "study" / "s", image(60), AFFINE), tmp_path / "many" / "frames.dcm", True)
    source = tmp_path / "many"
    flipped = not np.allclose(read(source, None).affine, AFFINE, atol=1e-3)
    write_segmentation(tmp_path / "seg.dcm", labels()[:, :, ::-1] if flipped else labels(), source, SCHEME, "unet")
    expected = (2 * 60 + 5) / (2 * 240 + 5)  # with slope and intercept of the frames
    for images in (source, source / "frames.dcm", tmp_path / "many#4"):
        assert ratio(measure_files([tmp_path / "seg.dcm"], SCHEME, images)[0]) == pytest.approx(expected)


def test_label_volumes_of_other_formats_have_dicom_too(cohort: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(labels(), AFFINE), tmp_path / "exam1.nii.gz")
    nib.save(nib.Nifti1Image(labels(), AFFINE), tmp_path / "exam2.nii.gz")
    files = [tmp_path / "exam1.nii.gz", tmp_path / "exam2.nii.gz"]
    assert ratio(measure_files(files[:1], SCHEME, cohort / "exam1" / "b")[0]) == pytest.approx(0.25)
    assert ratio(measure_files(files[:1], SCHEME, cohort / "exam1#7")[0]) == pytest.approx(0.25)
    by_id = measure_files(files, SCHEME, cohort)
    assert [ratio(one) for one in by_id] == pytest.approx([0.05, 0.1]), "of each exam the series that is chosen"
    with pytest.raises(UsageError, match="exam1 is one image for 2 label volumes; give the folder of their images"):
        measure_files(files, SCHEME, cohort / "exam1")
    with pytest.raises(UsageError, match="nowhere does not exist; give the image, or a folder of images"):
        measure_files(files, SCHEME, tmp_path / "nowhere")


def test_the_command_says_which_series_and_names_nobody(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["measure", str(tmp_path / "exam2.dcm"), "--image", str(cohort), "--json"]) == 0
    captured = capsys.readouterr()
    (file,) = json.loads(captured.out)["files"]
    said: dict[str, Any] = {level["level"]: level for level in file["levels"]}
    assert said["L3/L4"]["signal_ratio"] == pytest.approx(0.5)
    assert file["image"].startswith(f"{cohort}#")
    assert file["image"].endswith(".7")
    assert "SECRET" not in captured.out + captured.err
