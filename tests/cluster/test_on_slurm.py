"""Trainings and studies on Slurm itself: in an allocation, pre-empted, on a node that dies, interrupted and resumed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from spine_ignite import cli
from spine_ignite.errors import RunError, UsageError
from spine_ignite.machine.at_once import Task
from spine_ignite.machine.slurm_jobs import read_jobs, submit_tasks
from spine_ignite.studies.cell import read_record, run_cell
from spine_ignite.studies.declaration import read_declaration
from spine_ignite.studies.making import Study, make_study
from spine_ignite.studies.standing import standings
from spine_ignite.studies.submitting import submit_study

pytestmark = pytest.mark.slow
SETTINGS = {
    "data.spacing": [4, 4],
    "data.size": [64, 64],
    "data.batch_size": 4,
    "train.epochs": 2,
    "train.steps_per_epoch": 3,
    "threads": 1,
    "precision": "fp32",
    "device": "cpu",
    "log.tensorboard": False,
    "augment.enabled": False,
}
SMALL = {"name": "small", "model": "unet", "set": {"model.width": 4, "model.depth": 2}}
WIDE = {"name": "wide", "model": "unet", "set": {"model.width": 8, "model.depth": 2}}
Make = Callable[..., Study]
PROGRAM = (sys.executable, "-m", "spine_ignite")
PATIENCE = 900.0  # seconds: a machine may have other things to do


@pytest.fixture
def make(phantoms: Path, tmp_path: Path) -> Make:
    """``make(epochs, seeds=[0, 1])`` makes a study of phantoms."""

    def write(epochs: int = 2, name: str = "study", **changes: Any) -> Study:
        path = tmp_path / f"{name}.yaml"
        declared = {"data": str(phantoms), "folds": 2, "models": [SMALL], "set": {**SETTINGS, "train.epochs": epochs}}
        path.write_text(yaml.safe_dump({**declared, **changes}))
        return make_study(read_declaration(path), tmp_path / name)

    return write


def submit(study: Study, **options: Any) -> dict[str, str]:
    return submit_study(study, {"time": 60, **options}, echo=lambda _line: None)


def all_done(study: Study) -> bool:
    return all(found.state == "done" for found in standings(study))


def begun(study: Study, names: list[str]) -> bool:
    """Whether each of some cells has a checkpoint of its second epoch or a later one, and is at work."""
    found = {standing.cell.name: standing for standing in standings(study)}
    return all(found[name].state == "running" and found[name].epoch >= 2 for name in names)


def restarts(cluster: Any, job: str) -> int:
    shown = re.search(r"Restarts=(\d+)", cluster.run("scontrol", "show", "job", job))
    assert shown is not None
    return int(shown[1])


def require_same_weights(study: Study, other: Study) -> None:
    """Bit for bit."""
    for cell in study.cells:
        one, two = (torch.load(s.directory.run(cell.name).last, weights_only=True)["model"] for s in (study, other))
        assert all(torch.equal(one[key], two[key]) for key in one)


def training(phantoms: Path, out: Path) -> list[str]:
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    model = [word for key, value in SMALL["set"].items() for word in ("--set", f"{key}={value}")]  # type: ignore[attr-defined]
    return [*PROGRAM, "train", "--model", "unet", "--data", str(phantoms), "--out", str(out), *sets, *model]


def test_a_training_runs_in_an_allocation(cluster: Any, phantoms: Path, tmp_path: Path) -> None:
    cluster.run("srun", "-n1", *training(phantoms, tmp_path / "run"))
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "run" / "checkpoints" / "best.pt").is_file()


def test_the_tasks_of_a_step_are_one_training_and_share_volumes(cluster: Any, phantoms: Path, tmp_path: Path) -> None:
    step = ("srun", "-N2", "-n2", "--kill-on-bad-exit=1")
    said = cluster.run(*step, *training(phantoms, tmp_path / "run"))
    assert said.count("Processes: 2, which share each batch of 4 (1 on this machine)") == 1
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2
    subprocess.run([*training(phantoms, tmp_path / "other"), "--nproc", "2"], check=True, timeout=PATIENCE)
    one, two = (torch.load(tmp_path / name / "checkpoints/last.pt", weights_only=True) for name in ("run", "other"))
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])

    predict = [
        *PROGRAM,
        "predict",
        tmp_path / "run",
        phantoms,
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--json",
        "-o",
    ]
    shared = json.loads(cluster.run(*step, *predict, tmp_path / "shared"))
    assert [made["error"] for made in shared] == [None, None]
    cluster.run("srun", "-n1", *predict, tmp_path / "alone")
    written = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("shared", "alone")]
    assert len(written[0]) >= 4
    assert written[0] == written[1]


def test_what_is_preempted_or_out_of_time_goes_on_to_the_same_weights(cluster: Any, make: Make) -> None:
    study = make(epochs=20)
    jobs = submit(study)
    one, two = jobs
    cluster.wait(lambda: begun(study, [one, two]), "both cells are at work")
    assert submit(study) == {}  # they are in the queue
    cluster.run("scancel", "--signal=TERM", jobs[one])  # what a scheduler does that wants the node
    cluster.run("scontrol", "requeue", jobs[two])
    log = study.directory.log(one)
    cluster.wait(lambda: log.read_text().count("Resuming:") == 1, "the first is at work again")
    cluster.run("scancel", "--signal=USR2", jobs[one])  # what Slurm does shortly before the time is up
    cluster.wait(lambda: all_done(study), "both cells are done")
    assert [restarts(cluster, jobs[name]) for name in (one, two)] == [2, 1]
    record = read_record(study.directory, one)
    assert record is not None
    assert record.attempts == 3
    undisturbed = make(epochs=20, name="undisturbed")
    for cell in undisturbed.cells:
        assert run_cell(undisturbed.directory.root, cell.name, lambda _line: None) == 0
    require_same_weights(study, undisturbed)


def test_a_node_dies_and_its_cell_goes_on_elsewhere(cluster: Any, make: Make) -> None:
    study = make(epochs=20)
    jobs = submit(study)
    names = list(jobs)
    cluster.wait(lambda: begun(study, names), "both cells are at work")
    lost = next(n for n in names if "n1" in cluster.run("squeue", "--noheader", "--format=%N", "--jobs", jobs[n]))
    cluster.kill_node("n1")
    try:
        cluster.wait(lambda: all_done(study), "both cells are done")
        assert restarts(cluster, jobs[lost]) >= 1
    finally:
        cluster.start_node("n1")
        cluster.run("scontrol", "update", "NodeName=n1", "State=RESUME", check=False)
    idle = ("sinfo", "--noheader", "--Node", "--format=%T")
    cluster.wait(lambda: cluster.run(*idle).split() == ["idle"] * 2, "both nodes are idle")


def test_a_study_that_is_cancelled_and_resumed_ends_in_one_table(
    cluster: Any, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make(models=[SMALL, WIDE, "enet"], seeds=[0, 1])
    assert len(study.cells) == 12
    jobs = submit(study)
    cluster.wait(lambda: sum(found.state == "done" for found in standings(study)) >= 3, "three cells are done")
    cluster.run("scancel", next(iter(jobs.values())).partition("_")[0])
    cluster.wait(lambda: not {"RUNNING", "PENDING", "COMPLETING"} & {*cluster.states().values()}, "all is cancelled")
    left = [found.cell.name for found in standings(study) if found.state != "done"]
    assert 0 < len(left) <= 9
    root = str(study.directory.root)
    assert cli.run(["study", "submit", root, "--failed", "--slurm", "time=60", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["jobs"]) == set(left)
    cluster.wait(lambda: all_done(study), "all cells are done")
    assert read_jobs(study.directory.slurm).keys() == jobs.keys()
    assert cli.run(["study", "report", root, "--no-cost", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [method["name"] for method in found["methods"]] == ["small-base", "wide-base", "enet-base"]
    assert len(found["cells"]) == 12
    assert found["comparison"]["cases"] == 6


def test_folds_are_an_array_and_one_more_job_judges(
    cluster: Any, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    model = ["--model", "unet", "--set", "model.width=4", "--set", "model.depth=2", "--folds", "2", "--pictures", "0"]
    out = tmp_path / "folds"
    where = ["--data", str(phantoms), "--out", str(out), "--slurm", "time=60", "--slurm", "hold=true", "--json"]
    assert cli.run(["cross-validate", *model, *sets, *where]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert list(jobs) == ["fold0", "fold1", "judge"]
    assert cli.run(["cross-validate", *model, *sets, *where]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == {}  # nothing is queued twice
    for job in jobs.values():
        cluster.run("scontrol", "release", job)
    cluster.wait(lambda: cluster.states().get(jobs["judge"]) == "COMPLETED", "all is judged")
    assert json.loads((out / "trained.json").read_text())["weights"].keys() == {"0", "1"}
    assert json.loads((out / "result.json").read_text())["cases"] == 6


def test_what_slurm_refuses_is_told(cluster: Any, tmp_path: Path) -> None:
    task = [Task("t", ("true",), tmp_path / "log")]
    with pytest.raises(RunError, match="Slurm does not take the jobs: .*invalid partition"):
        submit_tasks(task, tmp_path / "slurm", {"partition": "gold"}, name="t")
    with pytest.raises(UsageError, match="what is asked of Slurm cannot be"):
        submit_tasks(task, tmp_path / "slurm", {"mem_gb": "much"}, name="t")
