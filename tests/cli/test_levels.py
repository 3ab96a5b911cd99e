from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite import cli
from spine_ignite.labels import load_scheme
from spine_ignite.ownership import MARKER, own_folder
from spine_ignite.volumes.volume import read_label

SPIDER = load_scheme("spider")
# Rows run from head to foot, columns from front to back, slices from left to right.
AFFINE = np.array([[0, 0, 4.0, -20], [0, -1.0, 0, 50], [-1.0, 0, 0, 200], [0, 0, 0, 1]])


def spine(names: list[int], sacrum: int = 0) -> NDArray[np.uint8]:
    """Boxes of 22 x 30 pixels, 32 pixels apart, the first one lowest, on a sacrum if it has a value."""
    volume = np.zeros((256, 80, 9), np.uint8)
    for place, name in enumerate(names):
        bottom = 216 - 32 * place
        volume[bottom - 22 : bottom, 20:50, 1:-1] = name
    if sacrum:
        volume[226:256, 25:55, 1:-1] = sacrum
    return volume


def write(path: Path, values: NDArray[Any], shift: float = 0.0) -> Path:
    affine = AFFINE.copy()
    affine[2, 3] += shift
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    path.parent.mkdir(exist_ok=True)
    nib.save(image, path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run(["levels", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def named(path: Path) -> list[int]:
    """Values from the lowest vertebra up."""
    array = read_label(path).array
    return [int(array[205 - 32 * place, 35, 4]) for place in range(5)]


def test_without_out_only_the_file_beside_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scan.nii.gz", spine([1, 2, 3, 4, 5]))
    before = path.read_bytes()
    code, out, err = run(capsys, tmp_path, "--scheme", "spider")
    assert (code, err) == (0, "")
    assert "L5 to L1" in out
    assert "the labels have no sacrum to count from" in " ".join(out.split())
    assert "uncalibrated: a label map alone" in " ".join(out.split())
    assert path.read_bytes() == before
    said = json.loads((tmp_path / "scan.levels.json").read_text())
    assert (said["format"], said["scheme"], said["probabilities"], said["conditions"]) == (1, "spider", False, [])
    assert said["column"]["verdict"] == "ask"
    assert said["column"]["posterior"] > 0.9
    lowest = said["instances"][0]
    assert (lowest["id"], lowest["kind"], lowest["level"]) == (1, "vertebra", "L5")
    # The middle of rows 194 to 215, columns 20 to 49 and slices 1 to 7, as the affine puts it.
    assert lowest["centroid_mm"] == pytest.approx([4 * 4 - 20, 50 - 34.5, 200 - 204.5])
    assert lowest["volume_ml"] == pytest.approx(22 * 30 * 7 * 4 / 1000)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--level", "L3@-4,15.5,-4.5"), [3, 4, 5, 6, 7]),
        (("--level", "l1@#3"), [3, 4, 5, 6, 7]),
        (("--lowest", "L4"), [2, 3, 4, 5, 6]),
        (("--lowest", "L5"), [1, 2, 3, 4, 5]),
    ],
)
def test_all_levels_follow_from_a_click(
    options: tuple[str, ...], expected: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "labels/scan.nii.gz", spine([1, 2, 3, 4, 5]))
    assert run(capsys, path, "--scheme", "spider", "-o", tmp_path / "named", *options)[0] == 0
    assert named(tmp_path / "named/scan.nii.gz") == expected
    said = json.loads((tmp_path / "named/scan.levels.json").read_text())
    assert said["conditions"]
    assert not (tmp_path / "labels/scan.levels.json").exists()
    for forced in ((), ("--force",)):
        again = run(capsys, path, "--scheme", "spider", "-o", tmp_path / "named", *forced)
        assert again[0] == (0 if forced else 1)
        assert forced or "is there already; replace it with --force" in again[2]
    assert named(tmp_path / "named/scan.nii.gz") == [1, 2, 3, 4, 5]


def test_another_scan_of_the_patient_names_this_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one, of another scheme, shows two of the vertebrae, moved by some mm."""
    here = write(tmp_path / "t2.nii.gz", spine([1, 2, 3, 4, 5]))
    there = write(tmp_path / "t1.nii.gz", spine([0, 4, 5]), shift=5.0)
    options = ("--from", there, "--from-scheme", "mrspineseg", "--scheme", "spider", "-o", tmp_path / "named")
    assert run(capsys, here, *options)[0] == 0
    assert named(tmp_path / "named/t2.nii.gz") == [2, 3, 4, 5, 6]
    far = write(tmp_path / "far.nii.gz", spine([0, 4, 5]), shift=500.0)
    options = ("--from", far, "--from-scheme", "mrspineseg", "--scheme", "spider", "-o", tmp_path / "far")
    code, _, err = run(capsys, here, *options)
    assert code == 1
    assert "no vertebra of the other scan lies within 12 mm of one of this" in err


def test_values_that_mean_a_part_of_a_vertebra_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SPIDER's 105 is L1 of which a part is seen."""
    path = write(tmp_path / "scan.nii.gz", spine([1, 2, 3, 4, 105]))
    assert run(capsys, path, "--scheme", "spider", "-o", tmp_path / "named")[0] == 0
    assert np.array_equal(read_label(tmp_path / "named/scan.nii.gz").array, read_label(path).array)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--level", "L3"), "'L3' does not say where: a level is given as L3@x,y,z"),
        (("--level", "L7@1,2,3"), "there is no level 'L7'"),
        (("--level", "L3@#77"), "there is no vertebra #77; the vertebrae are #1, #2, #3"),
        (("--level", "L3@0,0,900"), "no vertebra is at this point"),
        (("--level", "L3@#1", "--level", "L3@#2"), "no naming of the column fits the levels that are given"),
        (("--level", "L3@#1", "--level", "L4@#1"), "one vertebra is said to be L3 and L4"),
        (("--from", "nowhere.nii.gz"), "nowhere.nii.gz"),
    ],
)
def test_what_cannot_be_is_told(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "scan.nii.gz", spine([1, 2, 3]))
    code, _, err = run(capsys, path, "--scheme", "spider", "-o", tmp_path / "named", *options)
    assert code in (1, 2)
    assert message in err
    assert not (tmp_path / "named").exists()


def test_a_file_of_others_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scan.nii.gz", spine([1, 2, 3]))
    (tmp_path / "scan.levels.json").write_text('{"mine": 1}')
    code, _, err = run(capsys, path, "--scheme", "spider")
    assert code == 1
    assert "scan.levels.json is in the way" in err
    assert (tmp_path / "scan.levels.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("spelling", ["", "../labels", "link"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_the_volumes_that_are_read_are_not_written_over(
    spelling: str, force: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "labels" / "scan.nii.gz", spine([3, 2, 1]))
    (path.parent / "link").symlink_to(path.parent)
    before = path.read_bytes()
    assert run(capsys, path, "--scheme", "spider")[0] == 0
    code, _, err = run(capsys, path.parent, "--scheme", "spider", "-o", path.parent / spelling, *force)
    assert code == 1
    assert "scan.nii.gz would be written over; choose another folder" in " ".join(err.split())
    assert path.read_bytes() == before


def test_nothing_is_written_into_what_other_commands_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scan.nii.gz", spine([1, 2, 3]))
    with own_folder(tmp_path / "run", "run", "is training in it"):
        pass
    code, _, err = run(capsys, path, "--scheme", "spider", "-o", tmp_path / "run")
    assert code == 1
    assert "holds a run of spine-ignite; choose another folder" in " ".join(err.split())
    assert [file.name for file in (tmp_path / "run").iterdir()] == [MARKER]
