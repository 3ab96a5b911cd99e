"""All cells of a study on one machine, each as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spine_ignite.studies.cell import read_record
from spine_ignite.studies.making import Study
from spine_ignite.studies.running import run_study
from spine_ignite.studies.standing import standings

Make = Callable[..., Study]
PATIENCE = 900.0  # seconds: a machine may have other things to do


def weights(study: Study) -> dict[str, torch.Tensor]:
    """All weights of all cells."""
    found = {}
    for cell in study.cells:
        model = torch.load(study.directory.run(cell.name).best, weights_only=True)["model"]
        found.update({f"{cell.name} {key}": value for key, value in model.items()})
    return found


def start(study: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spine_ignite", "study", "run", str(study), "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_at_once_killed_and_gone_on_with_do_no_cell_twice(make: Make, declare: Callable[..., Path]) -> None:
    study = make(seeds=[0, 1])
    first = start(declare(seeds=[0, 1]))
    try:
        end = time.monotonic() + PATIENCE
        while not study.directory.run("unet-base-fold1-seed0").last.exists():
            assert first.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        first.kill()
        first.communicate()
    pair = [start(study.directory.root), start(study.directory.root)]
    for process in pair:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        json.loads(out)
    assert [found.state for found in standings(study)] == ["done"] * 4
    logs = [study.directory.log(cell.name).read_text() for cell in study.cells]
    assert [log.count("is done: validation Dice") for log in logs] == [1] * 4
    parts = weights(study)
    study.directory.cells.rename(study.directory.root.parent / "aside")
    for cell in study.cells:
        study.directory.record(cell.name).unlink()
    assert run_study(study, at_once=2, echo=lambda _line: None).exit_code == 0
    whole = weights(study)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow
def test_a_crash_is_recorded_and_takes_no_other_with_it(make: Make, install: Callable[..., Path]) -> None:
    """A plugin that crashes the process of one cell, the first time."""
    study = make()
    once = study.directory.root.parent / "crashed"
    source = f"""
import os, pathlib
from spine_ignite.hookspecs import hookimpl
@hookimpl
def attach_handlers(trainer, evaluator, run):
    once = pathlib.Path({str(once)!r})
    if run.config.data.fold == 0 and not once.exists():
        once.write_text("")
        os.kill(os.getpid(), 11)
"""
    install("acme-crash", source)
    result = run_study(study, echo=lambda _line: None)
    assert {found.cell.fold: found.state for found in result.standings} == {0: "failed", 1: "done"}
    assert result.exit_code == 1
    assert "was killed by SIGSEGV" in result.standings[0].note
    assert run_study(study, echo=lambda _line: None).exit_code == 1  # left, and told
    assert run_study(study, failed=True, echo=lambda _line: None).exit_code == 0


def test_a_damaged_record_is_told_and_the_others_go_on(make: Make) -> None:
    study = make()
    for cell in study.cells:
        path = study.directory.record(cell.name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    told: list[str] = []
    result = run_study(study, failed=True, echo=told.append)
    assert [found.state for found in result.standings] == ["failed"] * 2
    for cell in study.cells:
        assert any(line.startswith(f"Failed: {cell.name}: ") and "cannot be read" in line for line in told)


def test_a_signal_stops_all_with_the_command_that_goes_on(make: Make, declare: Callable[..., Path]) -> None:
    study = make(set={"train.epochs": 10_000})
    process = start(declare(set={"train.epochs": 10_000}), "--at-once", "2")
    names = [cell.name for cell in study.cells]
    try:
        end = time.monotonic() + PATIENCE
        while not all(study.directory.run(name).metrics.exists() for name in names):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 143
    assert [cell["state"] for cell in json.loads(out)["cells"]] == ["stopped", "stopped"]
    assert f"Go on with: spine-ignite study resume {study.directory.root}" in err
    assert all(read_record(study.directory, name).reason == str(int(signal.SIGTERM)) for name in names)  # type: ignore[union-attr]
    assert not [name for name in names if os.path.exists(study.directory.run(name).root / ".lock-study")]
