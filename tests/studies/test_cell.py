"""A cell of a study, from its start or from where it was stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spine_ignite.datasets.split import read_split
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.locks import lock_folder
from spine_ignite.studies.at_work import CLAIM
from spine_ignite.studies.cell import ELSEWHERE, is_running, read_record, run_cell
from spine_ignite.studies.making import Study
from spine_ignite.studies.standing import due, standings, summary_line
from spine_ignite.training.run import resume
from spine_ignite.volumes.digests import file_sha256

Make = Callable[..., Study]


def quiet(study: Study, cell: str) -> int:
    return run_cell(study.directory.root, cell, lambda _line: None)


def state_of(study: Study, cell: str) -> str:
    return next(found.state for found in standings(study) if found.cell.name == cell)


def test_a_cell_is_stopped_goes_on_and_is_judged_once(make: Make, stopped: Any) -> None:
    study, name = make(), "unet-base-fold0-seed0"
    assert state_of(study, name) == "waiting"
    with stopped(1):
        assert quiet(study, name) == 143
    assert state_of(study, name) == "stopped"
    assert summary_line(standings(study)) == "2 cells: 1 stopped, 1 waiting"
    assert quiet(study, name) == 0
    record = read_record(study.directory, name)
    run = study.directory.run(name)
    assert record is not None
    assert (record.state, record.attempts, record.weights) == ("done", 2, file_sha256(run.best))
    held_out = {case.name for case in read_split(run.split).validation}
    assert {case.case for case in read_tables(run.evaluation / "validation").cases} == held_out
    before = run.last.stat().st_mtime_ns
    assert quiet(study, name) == 0
    assert run.last.stat().st_mtime_ns == before
    assert [cell.name for cell in due(standings(study), failed=True)] == ["unet-base-fold1-seed0"]


def test_a_killed_cell_goes_on_to_the_weights_of_one_never_stopped(make: Make, plugged: Any) -> None:
    from ignite.engine import Events

    study = make()
    name, other = "unet-base-fold0-seed0", "unet-base-fold1-seed0"

    def kill(trainer: Any, _evaluator: Any, _run: Any) -> None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda: os.kill(os.getpid(), signal.SIGKILL))

    if (child := os.fork()) == 0:
        with plugged(kill):
            quiet(study, name)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert state_of(study, name) == "stopped"
    assert not is_running(study.directory, name)
    assert quiet(study, name) == 0
    killed = torch.load(study.directory.run(name).last, weights_only=True)["model"]
    study.directory.run(name).root.rename(study.directory.cells / "aside")
    study.directory.record(name).unlink()
    assert quiet(study, name) == 0
    whole = torch.load(study.directory.run(name).last, weights_only=True)["model"]
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
    assert state_of(study, other) == "waiting"


def test_a_cell_whose_network_is_gone_is_trained_again(make: Make) -> None:
    study, name = make(), "unet-base-fold0-seed0"
    assert quiet(study, name) == 0
    run = study.directory.run(name)
    first = torch.load(run.best, weights_only=True)["model"]
    run.best.unlink()
    found = next(found for found in standings(study) if found.cell.name == name)
    assert (found.state, found.note) == ("stopped", "its best.pt is gone")
    assert quiet(study, name) == 0
    second = torch.load(run.best, weights_only=True)["model"]
    assert all(torch.equal(first[key], second[key]) for key in first)
    record = read_record(study.directory, name)
    assert record is not None
    assert (record.state, record.attempts, record.weights) == ("done", 2, file_sha256(run.best))
    assert len(run.metrics.read_text().splitlines()) == 2


def test_a_failure_is_recorded_and_tried_again(make: Make, plugged: Any) -> None:
    study, name = make(), "unet-base-fold0-seed0"

    def fail(_trainer: Any, _evaluator: Any, _run: Any) -> None:
        raise RunError("the disk is on fire")

    with plugged(fail), pytest.raises(RunError, match="on fire"):
        quiet(study, name)
    found = next(found for found in standings(study) if found.cell.name == name)
    assert found.state == "failed"
    assert "the disk is on fire" in found.note
    assert name not in [cell.name for cell in due(standings(study), failed=False)]
    assert name in [cell.name for cell in due(standings(study), failed=True)]
    assert quiet(study, name) == 0
    assert state_of(study, name) == "done"


def test_a_cell_that_another_process_works_on_is_left_to_it(make: Make, tmp_path: Path) -> None:
    study, name = make(), "unet-base-fold0-seed0"
    root = study.directory.run(name).root
    if (child := os.fork()) == 0:
        with lock_folder(root, "is working on this cell", CLAIM):
            (tmp_path / "held").write_text("")
            signal.pause()
    try:
        while not (tmp_path / "held").exists():
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        assert state_of(study, name) == "running"
        assert quiet(study, name) == ELSEWHERE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert state_of(study, name) == "waiting"
    with pytest.raises(UsageError, match="no cell 'unet-base-fold0-seed7'. Did you mean"):
        quiet(study, "unet-base-fold0-seed7")


def test_a_cell_is_a_run_like_any_other(make: Make) -> None:
    study, name = make(), "unet-base-fold0-seed0"
    quiet(study, name)
    run = study.directory.run(name)
    resume(run.root, ["train.epochs=3"], echo=lambda _line: None)
    assert torch.load(run.last, weights_only=True)["trainer"]["iteration"] > 0
    assert len(run.metrics.read_text().splitlines()) == 3
