from __future__ import annotations

import json
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from spine_ignite import cli

LOGS = (
    "config.yaml",
    "environment.json",
    "split.json",
    "metrics.jsonl",
    "doctor.jsonl",
    "manifest.jsonl",
    "postprocess.json",
    "evaluation/cost.json",
    "evaluation/test/summary.json",
    "evaluation/test/cases.csv",
    "evaluation/validation/confusion.csv",
)
WEIGHTS = ("checkpoints/best.pt", "checkpoints/last.pt", "checkpoints/best.safetensors")
SCANS = (
    "report.html",
    "evaluation/test/pictures/Case5.png",
    "predictions/test/Case5.nii.gz",
    "predictions/test/Case5.json",
    "predictions/epoch_3/Case5.mha",
    "predictions/test/uncertainty/Case5.nii.gz",
)
NEVER = (
    "my-report.html",
    "report-2.html",
    "evaluation/test/cases-with-names.csv",
    "evaluation/other/cases.csv",
    "evaluation/test/.part-spine-ignite-01234567-cases.csv",
    "checkpoints/.part-spine-ignite-01234567-last.pt",
    "checkpoints/notes.txt",
    "labels/Case5.nii.gz",
    "predictions/Case5.nii.gz",
    "Case5.png",
    ".spine-ignite",
    ".lock",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    for name in (*LOGS, *WEIGHTS, *SCANS, *NEVER):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / "elsewhere" / "validation").mkdir(parents=True)
    (tmp_path / "elsewhere" / "validation" / "classes.csv").write_text("another's")
    (root / "evaluation" / "validation" / "summary.json").symlink_to("/etc/passwd")
    (root / "evaluation" / "test" / "classes.csv").symlink_to(tmp_path / "elsewhere" / "validation" / "classes.csv")
    (root / "tensorboard").symlink_to(tmp_path / "elsewhere")
    return root


def packed(capsys: pytest.CaptureFixture[str], *words: object) -> set[str]:
    assert cli.run(["pack", *map(str, words), "--json"]) == 0
    return {name.partition("/")[2] for name in json.loads(capsys.readouterr().out)["files"]}


def test_only_what_is_listed_as_safe_is_packed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "logs.zip"
    assert packed(capsys, run, "-o", out) == set(LOGS)
    assert set(zipfile.ZipFile(out).namelist()) == {f"run/{name}" for name in LOGS}
    assert packed(capsys, run, "-o", out, "--checkpoints") == {*LOGS, *WEIGHTS}
    assert packed(capsys, run, "-o", out, "--predictions") == {*LOGS, *SCANS}
    assert packed(capsys, run, "-o", run / "a.zip", "--predictions", "--checkpoints") == {*LOGS, *WEIGHTS, *SCANS}


def test_runs_of_one_name_get_folders_of_their_own_and_nobody_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed(capsys, run, run, "-o", tmp_path / "all.tar.gz")
    with tarfile.open(tmp_path / "all.tar.gz") as archive:
        assert {name.partition("/")[0] for name in archive.getnames()} == {"run", "run_2"}
        assert {(member.uid, member.gid, member.uname, member.gname) for member in archive} == {(0, 0, "", "")}
    assert cli.run(["pack", str(run), "-o", str(tmp_path / "logs.rar")]) == 2
    assert "must end in .zip or .tar.gz" in capsys.readouterr().err


def test_event_files_go_if_they_hold_numbers_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture shows a scan, whoever logged it."""
    (run / "tensorboard").unlink()
    with SummaryWriter(str(run / "tensorboard")) as writer:
        writer.add_text("config", "seed: 1")
        writer.add_scalar("train/loss", 1.0, 1)
        writer.add_hparams({"lr": 1.0}, {"hparam/dice": 1.0}, run_name=".")
    numbers = {path.relative_to(run).as_posix() for path in (run / "tensorboard").iterdir()}
    with SummaryWriter(str(run / "tensorboard"), filename_suffix=".plugin") as writer:
        writer.add_scalar("more", 1.0, 1)
        writer.add_image("scan", np.zeros((3, 4, 4), np.uint8))
    with SummaryWriter(str(run / "tensorboard"), filename_suffix=".text") as writer:
        writer.add_text("patient", "his name")
    damaged = run / "tensorboard" / "events.out.tfevents.damaged"
    damaged.write_bytes(b"no record" * 9)
    found = {name for name in packed(capsys, run, "-o", tmp_path / "a.zip") if name.startswith("tensorboard")}
    assert found == numbers
    assert cli.run(["pack", str(run), "-o", str(tmp_path / "a.zip")]) == 0
    assert capsys.readouterr().err.count("may hold pictures; --predictions includes it") == 3
    assert (
        len(packed(capsys, run, "-o", tmp_path / "a.zip", "--predictions")) == len({*LOGS, *SCANS}) + len(numbers) + 3
    )


def test_an_archive_of_private_files_is_private(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.jsonl").chmod(0o600)
    packed(capsys, run, "-o", tmp_path / "a.zip")
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600
