from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import write_text
from spine_ignite.locks import lock_folder
from spine_ignite.registry import Distribution
from spine_ignite.runs.directory import (
    RunDirectory,
    describe_environment,
    open_run_directory,
    plan_run_directory,
    truncate_metrics,
)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"data.root={tmp_path / 'data'}"])


def finished_run(plan: RunDirectory) -> None:
    with plan.own():
        for path in (plan.config, plan.metrics, plan.last, plan.evaluation / "test" / "cases.csv"):
            write_text(path, "of a run")


def test_the_default_name_is_date_and_model_with_a_number_when_taken(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    today = datetime.date.today().isoformat()
    first = plan_run_directory(config).root
    assert first == Path("runs") / f"{today}_unet"
    first.mkdir(parents=True)
    assert plan_run_directory(config).root == Path("runs") / f"{today}_unet_2"


def test_a_run_is_not_overwritten_unless_asked(config: RunConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    finished_run(plan_run_directory(config, out))
    with pytest.raises(RunError, match="holds a run already; resume it with --resume"):
        plan_run_directory(config, out)
    plan = plan_run_directory(config, out, force=True)
    assert plan.config.exists(), "planning writes and deletes nothing"
    with plan.own():
        assert plan.clear() == []
    assert [entry.name for entry in out.iterdir()] == [".spine-ignite"]


@pytest.mark.parametrize("name", ["thesis.tex", "config.yaml", ".git/HEAD"])
def test_a_folder_of_other_files_is_never_replaced(config: RunConfig, tmp_path: Path, name: str) -> None:
    write_text(tmp_path / "run" / name, "x")
    with pytest.raises(RunError, match="holds files that spine-ignite did not make as a run"):
        plan_run_directory(config, tmp_path / "run", force=True)
    with pytest.raises(RunError, match="nothing in it is deleted"):
        RunDirectory(tmp_path / "run").clear()
    assert (tmp_path / "run" / name).read_text() == "x"


def test_what_a_run_does_not_list_stays_when_it_is_replaced(config: RunConfig, tmp_path: Path) -> None:
    plan = plan_run_directory(config, tmp_path / "run")
    finished_run(plan)
    notes = [plan.root / name for name in ("notes.txt", "checkpoints/mine.pt", "evaluation/test/more.csv", "x/y.csv")]
    for path in notes:
        write_text(path, "mine")
    with plan.own():
        assert plan.clear() == sorted([*notes[:3], plan.root / "x"])
    assert {path for path in plan.root.rglob("*") if path.is_file()} == {*notes, plan.root / ".spine-ignite"}


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "evaluation"])
def test_a_run_with_a_link_among_its_files_is_not_replaced(config: RunConfig, tmp_path: Path, name: str) -> None:
    plan = plan_run_directory(config, tmp_path / "run")
    finished_run(plan)
    place = plan.root / name
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match=f"{name} is not a plain file; nothing was deleted"), plan.own():
        plan.clear()
    assert sorted(tmp_path.rglob("*")) == before


def test_predictions_that_are_to_be_kept_stay(config: RunConfig, tmp_path: Path) -> None:
    plan = plan_run_directory(config, tmp_path / "run")
    finished_run(plan)
    kept, goes = plan.predictions / "test" / "corrected.nii.gz", plan.predictions / "test" / "other.nii.gz"
    for path in (kept, goes, plan.root / "report.html"):
        write_text(path, "labels")
    with plan.own():
        assert plan.clear(lambda path: path.name != "other.nii.gz") == [kept]
    assert [path for path in plan.root.rglob("*.*") if path.is_file()] == [plan.root / ".spine-ignite", kept]


def test_a_run_that_is_being_evaluated_is_not_replaced(config: RunConfig, tmp_path: Path) -> None:
    plan = plan_run_directory(config, tmp_path / "run")
    finished_run(plan)
    with (
        lock_folder(plan.evaluation / "test", "is evaluating into it"),
        plan.own(),
        pytest.raises(RunError, match="test is in use: another process .* writes into it"),
    ):
        plan.clear()
    assert plan.config.exists()


def test_a_directory_that_nothing_came_of_vanishes(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), plan_run_directory(config, tmp_path / "runs" / "run").own():
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["data", "data/run", ".", "data/train/../../data/x", "link/run"])
def test_a_run_does_not_lie_in_its_data_nor_around_it(config: RunConfig, tmp_path: Path, out: str) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(UsageError, match=r"the data, data\.root .*; choose a folder outside of it"):
        plan_run_directory(config, tmp_path / out, force=True)


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
    unet = Distribution("spine-ignite-unet", "0.1.0")
    record = json.loads(describe_environment("cpu", "fp32", "abc", unet, {"model unet": unet}))
    assert record["versions"]["torch"]
    assert record["data_fingerprint"] == "abc"
    assert record["plugin"] == "spine-ignite-unet 0.1.0"
    assert record["plugin"] == "spine-ignite-unet 0.1.0"
    assert record["components"] == {"model unet": "spine-ignite-unet 0.1.0"}
