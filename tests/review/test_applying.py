"""What was decided in a sheet, carried out: corrected levels, training cases that are marked as such."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from spine_ignite import cli
from spine_ignite.csv_files import csv_text, read_csv
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import write_phantoms
from spine_ignite.review.decisions import COLUMNS

SCHEME = load_scheme("mrspineseg")
L5_IS_L4 = np.array([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 10, *range(12, 20), 19])  # each level called the one above


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms(root, 3, 0, num_slices=9)
    return root


@pytest.fixture
def cohort(phantoms: Path, tmp_path: Path) -> Path:
    """Labels of three columns, of which those of the second are one level too high, their images, and decisions."""
    shutil.copytree(phantoms / "train" / "source", tmp_path / "images")
    (tmp_path / "labels").mkdir()
    rows: list[list[Any]] = []
    for number, decision in ((1, "accept"), (2, "correct"), (3, "reject")):
        name = f"mask_case{number}.nii.gz"
        image = nib.load(phantoms / "train" / "label" / name)
        values = np.asarray(image.dataobj).astype(np.uint8)
        place: list[Any] = ["", "", "", ""]
        if decision == "correct":
            middle = np.argwhere(values == 4).mean(axis=0)
            place = ["L3", *(float(mm) for mm in (image.affine @ [*middle, 1])[:3].round(1))]
            values = L5_IS_L4[values].astype(np.uint8)
        nib.save(nib.Nifti1Image(values, image.affine, image.header), tmp_path / "labels" / name)
        digest = hashlib.sha256((tmp_path / "labels" / name).read_bytes()).hexdigest()
        rows.append([f"mask_case{number}", name, digest, decision, *place, "=seen", ""])
    (tmp_path / "decisions.csv").write_text(csv_text(COLUMNS, rows))
    return tmp_path


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def vertebrae_of(values: np.ndarray) -> np.ndarray:
    return np.where((values >= 2) & (values <= 8), values, 0)


def run(*words: object) -> int:
    return cli.run([str(word) for word in words])


def test_levels_applies_the_corrections_of_a_sheet(cohort: Path, phantoms: Path) -> None:
    words = ["levels", cohort / "labels", "--scheme", "mrspineseg", "--decisions", cohort / "decisions.csv"]
    words += ["--scheme", "mrspineseg"]
    assert run(*words, "-o", cohort / "out") == 0
    assert sorted(path.name for path in (cohort / "out").glob("*.nii.gz")) == ["mask_case2.nii.gz"]
    truth = vertebrae_of(voxels(phantoms / "train" / "label" / "mask_case2.nii.gz"))
    wrong = vertebrae_of(voxels(cohort / "labels" / "mask_case2.nii.gz"))
    found = vertebrae_of(voxels(cohort / "out" / "mask_case2.nii.gz"))
    whole = truth > 0
    assert (wrong[whole] == truth[whole]).mean() < 0.1
    assert (found[whole] == truth[whole]).mean() > 0.98
    assert run(*words) == 2, "it has to be said where to"
    assert run(*words, "-o", cohort / "more", "--lowest", "L5") == 2


def test_accepted_and_corrected_volumes_become_training_cases_that_are_marked(
    cohort: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["review", cohort / "labels", "--images", cohort / "images", "--decisions", cohort / "decisions.csv"]
    words += ["--scheme", "mrspineseg"]
    dataset = cohort / "dataset"
    assert run(*words, "--into", dataset) == 2
    assert "who decided" in capsys.readouterr().err
    assert run(*words, "--into", dataset, "--by", "A. Reader") == 0
    assert "2 training cases taken into" in capsys.readouterr().out
    found, problems = find_cases(dataset)
    assert problems == []
    assert [(case.id, case.split) for case in found.cases] == [("reviewed-1", "train"), ("reviewed-2", "train")]
    for case, number in zip(found.cases, (1, 2), strict=True):
        assert case.image.read_bytes() == (cohort / "images" / f"Case{number}.nii.gz").read_bytes()
    truth = voxels(phantoms / "train" / "label" / "mask_case1.nii.gz")
    assert found.cases[0].label is not None
    np.testing.assert_array_equal(voxels(found.cases[0].label), truth)
    first, second = read_csv(dataset / "corrected.csv")
    assert (first["decision"], second["decision"], second["level"]) == ("accept", "correct", "L3")
    assert first["decided_by"] == "A. Reader"
    assert first["remark"] == "=seen"
    assert first["source_sha256"] == hashlib.sha256((cohort / "labels" / "mask_case1.nii.gz").read_bytes()).hexdigest()
    assert second["mask_sha256"] == hashlib.sha256((dataset / second["mask"]).read_bytes()).hexdigest()
    assert "no reference" in first["use"]
    before = {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
    assert run(*words, "--into", dataset, "--by", "B") == 1
    assert "is there already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("folders", [("imagesTr", "labelsTr"), ("train/source", "train/label")])
def test_files_of_others_in_a_dataset_stay_and_test_cases_are_not_trained_on(
    cohort: Path, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = cohort / "dataset"
    tests = "imagesTs" if folders[0] == "imagesTr" else "test/source"
    for folder in (*folders, tests):
        (dataset / folder).mkdir(parents=True)
    shutil.copy(cohort / "images" / "Case2.nii.gz", dataset / tests / "other_0000.nii.gz")
    (dataset / folders[1] / "notes.txt").write_text("mine")
    words = ["review", cohort / "labels", "--images", cohort / "images", "--decisions", cohort / "decisions.csv"]
    words += ["--scheme", "mrspineseg"]
    assert run(*words, "--into", dataset, "--by", "A") == 1
    assert "a test case, which must not be trained on" in capsys.readouterr().err
    names = [path.name for folder in folders for path in sorted((dataset / folder).glob("reviewed*"))]
    channel = "_0000" if folders[0] == "imagesTr" else ""
    assert names == [f"reviewed-1{channel}.nii.gz", "reviewed-1.nii.gz"]
    assert (dataset / folders[1] / "notes.txt").read_text() == "mine"
    (cohort / "taken" / folders[0]).mkdir(parents=True)
    (cohort / "taken" / folders[0] / "reviewed-1.nii.gz").write_bytes(b"of somebody else")
    assert run(*words, "--into", cohort / "taken", "--by", "A") == 1
    assert "did not make" in capsys.readouterr().err
    assert (cohort / "taken" / folders[0] / "reviewed-1.nii.gz").read_bytes() == b"of somebody else"
