from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from spine_ignite.cli import run
from spine_ignite.labels import load_scheme

Writer = Callable[..., Path]
SCHEME = ("--scheme", "lumbar-vertebrae")


def check(capsys: pytest.CaptureFixture[str], root: Path, *options: str) -> tuple[int, str]:
    code = run(["check", str(root), *SCHEME, *options])
    return code, capsys.readouterr().out


def test_a_sound_dataset_is_summed_up(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(capsys, tiny_dataset)
    assert code == 0
    assert "mrspineseg layout, 4 train cases, 2 test cases" in out
    assert "48x64x5 (6)" in out
    assert "1x1x4 mm (6)" in out
    assert "0 in 6, 2 in 6, 3 in 6, 4 in 6" in out
    assert f"Declared: {tiny_dataset} labels every class of the scheme 'lumbar-vertebrae'" in out
    assert "L2, L1, T12, T11 in none of its masks: if nobody has drawn them, leave them out of data.labelled" in out
    assert out.endswith("No problems.\n")


def test_the_summary_as_json(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(capsys, tiny_dataset, "--json")
    assert code == 0
    assert json.loads(out) == {
        "root": str(tiny_dataset),
        "layout": "mrspineseg",
        "cases": {"train": 4, "test": 2},
        "shapes": {"48x64x5": 6},
        "spacings": {"1x1x4": 6},
        "orientations": {"PSR, sagittal slices along axis 3": 6},
        "cases_with_value": {"0": 6, "2": 6, "3": 6, "4": 6},
        "datasets": [
            {
                "name": "",
                "root": str(tiny_dataset),
                "masks": "lumbar-vertebrae",
                "cases": 6,
                "labelled": ["L5", "L4", "L3", "L2", "L1", "T12", "T11"],
                "in_no_mask": ["L2", "L1", "T12", "T11"],
            }
        ],
        "problems": [],
        "warnings": [],
        "unused": [],
    }


def test_every_problem_is_a_row_with_its_case_and_file(
    tiny_dataset: Path, write_volume: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = np.zeros((48, 64, 5), np.float32)
    bad[0, 0, 0] = np.nan
    write_volume(tiny_dataset / "train/source/Case1.nii.gz", bad)
    (tiny_dataset / "train/label/mask_case2.nii.gz").unlink()
    write_volume(tiny_dataset / "test/label/mask_case5.nii.gz", np.full((48, 64, 5), 99, np.uint8))
    code, out = check(capsys, tiny_dataset)
    assert code == 1
    assert ["case", "file", "problem"] in [line.split() for line in out.splitlines()]
    for file, message in (
        ("train/source/Case1.nii.gz", "holds 1 NaN voxels"),
        ("train/source/Case2.nii.gz", "has no mask"),
        ("test/label/mask_case5.nii.gz", "label values 99 (15360 voxels)"),
    ):
        assert any(file in line and message in line for line in out.splitlines()), (file, message)
    assert out.endswith("3 problems.\n")
    code, out = check(capsys, tiny_dataset, "--json")
    assert code == 1
    assert sorted(problem["case"] for problem in json.loads(out)["problems"]) == ["1", "2", "5"]


def test_files_that_say_nothing_about_their_orientation_are_problems_unless_they_are_told(
    tiny_dataset: Path, write_volume: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tiny_dataset / "test").rglob("*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), np.eye(4)), path)
    code, out = check(capsys, tiny_dataset)
    assert code == 1
    assert out.count("does not say how it is oriented (its affine is the spacing alone)") == 4
    code, out = check(capsys, tiny_dataset, "--orientation", "ras")
    assert code == 0
    assert "PSR, sagittal slices along axis 3 (4), RAS, sagittal slices along axis 1 (2)" in out
    assert check(capsys, tiny_dataset, "--orientation", "PSP")[0] == 2


def test_one_problem_is_not_called_problems(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_dataset / "train/label/mask_case2.nii.gz").unlink()
    assert check(capsys, tiny_dataset)[1].endswith("1 problem.\n")


def test_checking_does_not_wait_for_torch() -> None:
    code = "import sys, spine_ignite.cli.check, spine_ignite.datasets.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_configuration_of_several_datasets_is_checked_as_a_whole(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(tiny_dataset, tmp_path / "others")
    (other / "train/label/mask_case2.nii.gz").unlink()
    config = tmp_path / "both.yaml"
    also = {"root": str(other), "masks": "lumbar-vertebrae", "labelled": ["L5", "L4", "L3"]}
    config.write_text(yaml.safe_dump({"data": {"root": str(tiny_dataset), "scheme": "spine", "also": [also]}}))
    code = run(["check", "--config", str(config), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code, [problem["case"] for problem in found["problems"]]) == (1, ["others_2"])
    assert found["cases"] == {"train": 7, "test": 4}
    assert [dataset["labelled"] for dataset in found["datasets"]][1] == ["L5", "L4", "L3"]
    assert [len(dataset["in_no_mask"]) for dataset in found["datasets"]] == [load_scheme("spine").num_classes - 4, 0]
    run(["check", "--config", str(config)])
    out = capsys.readouterr().out
    assert f"Declared: {other} labels L5, L4, L3 of the scheme 'spine', read from the scheme 'lumbar-ver" in out


def test_what_is_not_used_is_listed_with_the_reason(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_dataset / "old").mkdir()
    for number in range(5):
        (tiny_dataset / f"old/Case{number}.nii.gz").touch()
    assert run(["check", str(tiny_dataset), "--scheme", "lumbar-vertebrae"]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.split()[:1] == ["old"])
    assert "Case0.nii.gz, Case1.nii.gz, Case2.nii.gz and 2 more" in line
    assert line.rstrip().endswith("volumes in a folder that the layout mrspineseg does not read")


def test_exams_of_several_contrasts(two_contrasts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = two_contrasts / "train" / "source"
    moved = nib.load(source / "Case1_t2.nii.gz")
    affine = moved.affine.copy()
    affine[2, 3] += 10
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), source / "Case1_t2.nii.gz")
    shutil.copy(source / "Case1_t1.nii.gz", source / "Case1_stir.nii.gz")
    exams = ("--set", "data.contrasts=[t1,t2]", "--json")
    code, out = check(capsys, two_contrasts, *exams)
    found = json.loads(out)
    assert code == 0, found["problems"]
    assert found["contrasts"] == {"t1": 6, "t2": 5}
    assert [(group["names"], group["why"].split(",")[0]) for group in found["unused"]] == [
        (["Case1_stir.nii.gz"], "images of none of data.contrasts")
    ]
    said = [warning["message"] for warning in found["warnings"]]
    assert (
        "(t2) covers 84 % of the field of view of Case1_t1.nii.gz; the rest of it is as dark there as its darkest"
        in said
    )
    assert any("lack the contrast t2, which is 0 there: Case2, Case7" in message for message in said)
    affine[2, 3] += 40
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), source / "Case1_t2.nii.gz")
    (source / "Case5_t2.nii.gz").write_bytes(b"broken")
    code, out = check(capsys, two_contrasts, *exams)
    assert code == 1
    first, second = json.loads(out)["problems"]
    assert (first["case"], Path(first["file"]).name) == ("1", "Case1_t2.nii.gz")
    assert first["message"].startswith("(t2) covers 22 % of the field of view of")
    assert (second["case"], Path(second["file"]).name) == ("5", "Case5_t2.nii.gz")


def test_a_training_case_of_a_table_without_a_mask_is_a_problem(
    two_contrasts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def name(split: str) -> None:
        rows = ["1,t1,train/source/Case1_t1.nii.gz,train/label/mask_case1.nii.gz,train"]
        rows += [f"4,{t},train/source/Case4_{t}.nii.gz,,{split}" for t in ("t1", "t2")]
        (two_contrasts / "contrasts.csv").write_text("\n".join(["case,contrast,image,mask,split", *rows]))

    exams = ("--set", "data.contrasts=[t1,t2]", "--json")
    name("train")
    code, out = check(capsys, two_contrasts, *exams)
    assert (code, json.loads(out)["problems"]) == (
        1,
        [
            {
                "case": "4",
                "file": str(two_contrasts / "train/source/Case4_t1.nii.gz"),
                "message": "is for training and has no mask; add one, or make its case a test case",
            }
        ],
    )
    for split in ("test", ""):
        name(split)
        code, out = check(capsys, two_contrasts, *exams)
        assert (code, json.loads(out)["problems"]) == (0, [])
