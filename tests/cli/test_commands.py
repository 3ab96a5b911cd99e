"""The commands on a tiny dataset, one after the other, as a person would use them; and their answers to bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite import cli

Writer = Callable[..., Path]
SMALL = [
    *("--set", "data.scheme=lumbar-vertebrae"),
    *("--set", "data.batch_size=3"),
    *("--set", "model.width=4"),
    *("--set", "model.depth=3"),
    *("--set", "train.epochs=2"),
    *("--set", "threads=1"),
]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def trained(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    code, _, err = run(capsys, "train", "--model", "unet", "--data", tiny_dataset, "--out", tmp_path / "run", *SMALL)
    assert code == 0, err
    return tmp_path / "run"


def test_phantom_check_preprocess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    phantom = ("phantom", data, "--train", 2, "--test", 1, "--slices", 3, "--picture", tmp_path / "p.png")
    assert run(capsys, *phantom)[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, *phantom)
    assert (code, "is not empty" in err) == (2, True)
    code, out, _ = run(capsys, "check", data, "--json")
    found = json.loads(out)
    assert (code, found["problems"], found["cases"]) == (0, [], {"train": 2, "test": 1})
    code, out, _ = run(capsys, "preprocess", data, "--export-nifti", tmp_path / "slices")
    assert code == 0
    assert "Cases: 3 built, 0 reused, 0 removed" in out
    assert "18 files written" in out
    code, out, _ = run(capsys, "preprocess", data, "--json")
    assert json.loads(out)["slices"] == {"train": {"source": 6, "label": 6}, "test": {"source": 3, "label": 3}}
    assert json.loads(out)["cases"] == {"built": 0, "reused": 3, "removed": 0}


def test_check_lists_every_problem_and_exits_1(
    tiny_dataset: Path, write_volume: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(tiny_dataset / "train/label/mask_case1.nii.gz", np.full((48, 64, 5), 99, np.uint8))
    (tiny_dataset / "train/label/mask_case2.nii.gz").unlink()
    code, out, _ = run(capsys, "check", tiny_dataset, "--scheme", "lumbar-vertebrae")
    assert code == 1
    assert "2 problems" in out
    assert "label values 99 (15360 voxels)" in out
    assert "has no mask" in out


def test_predict_keeps_the_grid_and_goes_on_after_a_bad_input(
    trained: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    shutil.copytree(tiny_dataset / "test" / "source", folder)
    (folder / "broken.nii.gz").write_bytes(b"broken")
    out = tmp_path / "labels"
    code, text, err = run(capsys, "predict", trained, folder, "-o", out)
    assert code == 1
    assert "2 label volumes written" in text
    assert "broken.nii.gz is not a readable NIfTI image" in err
    for name in ("Case5", "Case6"):
        source, label = nib.load(folder / f"{name}.nii.gz"), nib.load(out / f"{name}.nii.gz")
        assert source.shape == label.shape
        np.testing.assert_allclose(source.affine, label.affine)
        assert source.header.get_xyzt_units() == label.header.get_xyzt_units()
    assert not (out / "broken.nii.gz").exists()
    (folder / "broken.nii.gz").unlink()
    code, text, _ = run(capsys, "predict", trained, folder, "-o", out, "--skip-existing")
    assert (code, "2 were there already" in text) == (0, True)


def test_evaluate_a_run_and_the_predictions_of_any_tool(
    trained: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "evaluate", trained)
    assert code == 0, err
    assert "Mean 3D Dice" in out
    folder = trained / "evaluation" / "test"
    assert sorted(p.name for p in folder.glob("[!.]*")) == [
        "cases.csv",
        "classes.csv",
        "confusion.csv",
        "pictures",
        "summary.json",
    ]
    assert sorted(p.name for p in (folder / "pictures").iterdir()) == ["Case5.png", "Case6.png"]
    labels = tiny_dataset / "test" / "label"
    perfect = ("evaluate", "--predictions", labels, "--labels", labels, "--scheme", "lumbar-vertebrae", "--json")
    code, out, _ = run(capsys, *perfect)
    found = json.loads(out)
    assert (found["means"]["dice"], found["means"]["hd95"], found["means"]["accuracy"]) == (1.0, 0.0, 1.0)
    assert found["classes"].keys() == {"L5", "L4", "L3"}


def test_train_prints_json(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "train", "--data", tiny_dataset, "--out", tmp_path / "run", "--json", *SMALL)
    assert code == 0
    assert json.loads(out)["epochs"] == 2


BAD = [
    (["train", "--model", "unett"], 2, "there is no model 'unett'. Did you mean 'unet'?"),
    (["train", "--set", "model.widht=4"], 2, "unknown key 'widht'. Did you mean 'width'?"),
    (["train", "--set", "model.width=1"], 2, "width: input should be greater than or equal to 4"),
    (["train", "--set", "train.epoch=3"], 2, "unknown key 'train.epoch'"),
    (["train", "--set", "data.batch_size=0"], 2, "data.batch_size: must be a whole number of at least 1, or auto"),
    (["train", "--device", "cuda:99"], 1, "device 'cuda:99' is not there"),
    (["train", "--data", "none"], 1, "dataset folder none does not exist"),
    (["train", "--config", "none.yaml"], 2, "configuration file none.yaml does not exist"),
    (["train", "--resume", "none"], 1, "none is not a run directory"),
    (["train", "--resume", "x", "--model", "unet", "--force"], 2, "--model, --force cannot be given with it, only"),
    (["evaluate"], 2, "give a RUN, or --predictions DIR together with --labels DIR"),
    (["predict", "none", "x.nii.gz", "-o", "out"], 1, "none is not a run directory"),
    (["check", "none"], 1, "dataset folder none does not exist"),
    (["preprocess", "none"], 1, "dataset folder none does not exist"),
    (["check", ".", "--scheme", "mrspinseg"], 2, "there is no label scheme 'mrspinseg'. Did you mean 'mrspineseg'?"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_gets_a_sentence_and_leaves_nothing_behind(
    arguments: list[str],
    code: int,
    message: str,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    extra: list[str] = []
    if arguments[0] == "train" and "--resume" not in arguments:
        extra = ["--out", "run", "--set", "data.scheme=lumbar-vertebrae"]
        if "--data" not in arguments:
            extra += ["--data", str(tiny_dataset)]
    found, _, err = run(capsys, *arguments, *extra)
    assert (found, message in err) == (code, True), err
    assert "Traceback" not in err
    assert list(work.iterdir()) == []


def test_a_run_that_does_not_fit_its_checkpoint_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = trained / "config.yaml"
    config.write_text(config.read_text().replace("width: 4", "width: 8").replace("epochs: 2", "epochs: 9"))
    code, _, err = run(capsys, "train", "--resume", trained)
    assert (code, "model.width is 4 there and 8 in config.yaml or --set; only device, " in err) == (2, True), err


@pytest.mark.parametrize("case", ["image", "mask", "shape"])
def test_training_on_a_broken_dataset_is_refused_before_it_starts(
    case: str, tiny_dataset: Path, tmp_path: Path, write_volume: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    if case == "image":
        path = tiny_dataset / "train/source/Case1.nii.gz"
        path.write_bytes(path.read_bytes()[:400])
    elif case == "mask":
        (tiny_dataset / "train/label/mask_case1.nii.gz").unlink()
    else:
        write_volume(tiny_dataset / "train/label/mask_case1.nii.gz", np.zeros((3, 3, 3), np.uint8))
    code, _, err = run(capsys, "train", "--data", tiny_dataset, "--out", tmp_path / "run", *SMALL)
    assert code == 1
    assert "ase1.nii.gz" in err
    assert not (tmp_path / "run").exists()
