from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from spine_ignite.engines.run_directory import (
    RunDirectory,
    describe_environment,
    open_run_directory,
    plan_run_directory,
    truncate_metrics,
)
from spine_ignite.errors import RunError


def test_the_default_name_is_date_and_model_with_a_number_when_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    today = datetime.date.today().isoformat()
    first = plan_run_directory("unet").root
    assert first == Path("runs") / f"{today}_unet"
    first.mkdir(parents=True)
    assert plan_run_directory("unet").root == Path("runs") / f"{today}_unet_2"


def test_a_run_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(RunError, match="holds a run already; resume it with --resume"):
        plan_run_directory("unet", tmp_path)
    plan = plan_run_directory("unet", tmp_path, force=True)
    assert (tmp_path / "config.yaml").exists(), "planning writes and deletes nothing"
    with plan.lock():
        plan.clear()
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="exists and is not a run directory"):
        plan_run_directory("unet", tmp_path, force=True)


def test_what_is_no_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run directory: it has no config.yaml"):
        open_run_directory(tmp_path)


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a part of its path is a file"), RunDirectory(tmp_path / "file" / "run").lock():
        pass


def test_later_and_broken_lines_of_the_record_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n{"epo')
    truncate_metrics(path, 2)
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_the_environment_names_versions() -> None:
    record = json.loads(describe_environment("cpu", "fp32", "abc", "spine-ignite-unet 0.1.0"))
    assert record["versions"]["torch"]
    assert record["data_fingerprint"] == "abc"
    assert record["plugin"] == "spine-ignite-unet 0.1.0"
