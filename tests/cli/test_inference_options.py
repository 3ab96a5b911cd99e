"""predict and evaluate with test-time augmentation, windows and ensembles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite import cli

RunWriter = Callable[..., Path]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_predict_says_what_it_does(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in range(2):
        write_run(tmp_path / "folds" / f"fold_{fold}", "data.context_slices=1", seed=fold)
    scan = tiny_dataset / "test" / "source" / "Case5.nii.gz"
    arguments = ("predict", tmp_path / "folds", scan, "-o", tmp_path / "out", "--tta", "--window", 32, 40)
    code, out, err = run(capsys, *arguments, "--uncertainty")
    assert code == 0, err
    assert out.count("6 views of each slice, windows of 32 x 40") == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "Case5.json",
        "Case5.nii.gz",
        "labels.ctbl",
        "labels.itksnap.txt",
        "uncertainty",
    ]
    code, out, _ = run(capsys, *arguments, "--skip-existing")
    assert (code, "0 label volumes written" in out, "1 were there already" in out) == (0, True, True)
    code, _, err = run(capsys, *arguments, "--skip-existing", "--no-tta")
    assert (code, "was made in another way (views: see Case5.json)" in err) == (1, True)


def test_evaluate_records_how_it_predicted_and_predicts_anew(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"data.root={tiny_dataset}"
    one, two = (write_run(tmp_path / name, data, seed=seed) for seed, name in enumerate(("one", "two")))
    dice = {}
    for name, more in (("plain", ()), ("tta", ("--tta",)), ("both", ("--ensemble", two))):
        code, out, err = run(capsys, "evaluate", one, "--json", *more)
        assert code == 0, err
        found = json.loads(out)
        written = json.loads((one / "evaluation" / "test" / "summary.json").read_text())
        assert written["settings"] == found["settings"]
        settings = found["settings"]
        assert (settings["split"], settings["checkpoint"], settings["tta"]) == ("test", "best.pt", name == "tta")
        assert [len(member["views"]) for member in settings["members"]] == {"plain": [1], "tta": [5], "both": [1, 1]}[
            name
        ]
        dice[name] = found["means"]["dice"]
    assert len(set(dice.values())) == 3, "predictions of an earlier evaluation are not judged again"
    code, _, _ = run(capsys, "evaluate", one, "--tta", "-o", tmp_path / "judged")
    assert code == 0
    assert (tmp_path / "judged" / "summary.json").is_file()
    assert (tmp_path / "judged" / "predictions" / "Case5.nii.gz").is_file()
    written = json.loads((one / "evaluation" / "test" / "summary.json").read_text())
    assert len(written["settings"]["members"]) == 2, "the run's own evaluation is untouched"


def test_folds_are_not_judged_together_on_cases_they_were_trained_on(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in range(2):
        shared = (f"data.root={tiny_dataset}", "data.folds=2")
        write_run(tmp_path / "folds" / f"fold_{fold}", *shared, f"data.fold={fold}", seed=fold)
    code, _, err = run(capsys, "evaluate", tmp_path / "folds", "--split", "validation")
    assert (code, "fold_1 was trained on 2 of the validation cases" in err) == (2, True)
    code, _, err = run(capsys, "evaluate", tmp_path / "folds")
    assert code == 0, err
    assert (tmp_path / "folds" / "evaluation" / "test" / "summary.json").is_file()


def test_mistakes_are_told(tmp_path: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one")
    two = write_run(tmp_path / "two", "data.scheme=mrspineseg")
    (tmp_path / "x.nii.gz").write_bytes(b"")
    predict = ("predict", one, tmp_path / "x.nii.gz", "-o", tmp_path / "out")
    for more, code, message in (
        (("--ensemble", two), 1, "the runs of an ensemble must have the same"),
        (("--ensemble", tmp_path / "none"), 1, "none is not a run directory"),
        (("--window", 0, 8), 2, "0 is not in the range x>=1"),
        (("--overlap", 1), 2, "0<=x<1"),
        (("--window", 64, 64, "--whole-slices"), 2, "give --window or --whole-slices, not both"),
    ):
        found, _, err = run(capsys, *predict, *more)
        assert (found, message in err) == (code, True), err
    assert not (tmp_path / "out").exists()
