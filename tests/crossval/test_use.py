"""What other commands do with a cross-validation."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nibabel as nib
import pytest

import spine_ignite as si
from spine_ignite import cli
from spine_ignite.crossval.cross_validate import CrossValidation


def test_other_commands_take_it(
    validated: CrossValidation, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = validated.directory
    assert cli.run(["evaluate", str(root), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"] == 2
    assert len(json.loads((root / "evaluation" / "test" / "summary.json").read_text())["settings"]["members"]) == 2
    assert cli.run(["evaluate", str(root), "--split", "validation"]) == 2
    assert f"each case by the fold that has not seen it is in {root / 'evaluation'}" in capsys.readouterr().err

    image = str(tiny_dataset / "train" / "source" / "Case2.nii.gz")
    assert cli.run(["predict", str(root), image, "-o", str(tmp_path / "labels"), "--device", "cpu"]) == 0
    told = capsys.readouterr().err
    assert "were trained on Case2" in told
    assert str(root / "out-of-fold") in told

    other = cli.run(["compare", str(root), str(root / "fold0"), "--split", "out-of-fold", "-o", str(tmp_path / "c")])
    assert other == 1
    assert "fold0 is no cross-validation" in capsys.readouterr().err
    assert cli.run(["report", str(root)]) == 1
    assert "is a cross-validation, no run; give one of its folds" in capsys.readouterr().err

    assert cli.run(["pack", str(root), "-o", str(tmp_path / "logs.zip")]) == 0
    names = set(zipfile.ZipFile(tmp_path / "logs.zip").namelist())
    assert {"folds/splits.json", "folds/result.json", "folds/fold1/split.json", "folds/suspects.csv"} <= names
    assert not any(name.endswith((".png", ".pt", ".nii.gz", ".html")) for name in names)


def test_two_of_them_are_compared_case_by_case(
    validated: CrossValidation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from spine_ignite.config import load_config
    from spine_ignite.crossval.cross_validate import cross_validate

    other = tmp_path / "again"
    config = load_config(validated.directory / "cross-validation.yaml", ["seed=5"])
    cross_validate(config, other, pictures=0, echo=lambda _line: None)
    arguments = [str(validated.directory), str(other), "--split", "out-of-fold", "-o", str(tmp_path / "compared")]
    assert cli.run(["compare", *arguments]) == 0
    assert "2 runs on 4 cases" in capsys.readouterr().out
    shutil.rmtree(other)


def test_the_command_tells_and_goes_on(validated: CrossValidation, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(validated.directory)
    assert cli.run(["cross-validate", "--resume", root, "--pictures", "1"]) == 0
    out = capsys.readouterr().out
    assert "Masks to look at first" in out
    assert "spread" in out
    assert cli.run(["cross-validate", "--resume", root, "--pictures", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["suspects"]) == 4
    assert found["result"]["folds"][0]["fold"] == 0
    assert cli.run(["cross-validate", "--resume", root, "--folds", "3"]) == 2
    assert "--folds cannot be given with it" in capsys.readouterr().err


def test_it_is_there_from_python(validated: CrossValidation, tiny_dataset: Path) -> None:
    root = str(validated.directory)
    said: list[str] = []
    again = si.cross_validate(f"{root}/cross-validation.yaml", root, pictures=1, echo=said.append)
    assert again.suspects == validated.suspects
    assert [line for line in said if not line.startswith("Manifest:")] == []  # nothing is left to be done
    labels = si.predict(root, nib.load(tiny_dataset / "test" / "source" / "Case5.nii.gz"))
    assert labels.shape == (48, 64, 5)
