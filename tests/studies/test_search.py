"""A search for hyper-parameters, by one worker and by several that share a journal."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine, Events
from optuna.distributions import CategoricalDistribution, FloatDistribution

from spine_ignite.config import load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.studies.making import Study
from spine_ignite.studies.searching import found_trials, search_study
from spine_ignite.studies.trials import Pruning, open_search, trial_config, trial_run, work
from spine_ignite.training.monitor import Monitor

Make = Callable[..., Study]
SPACE = {"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "model.width": {"choices": [4, 8]}}
PATIENCE = 900.0  # seconds: a machine may have other things to do


def course(study: Study, number: int) -> list[float]:
    """The course of a trial, as its run has recorded it."""
    lines = trial_run(study, number).metrics.read_text().splitlines()
    return [json.loads(line)["validation/dice"] for line in lines]


def test_a_trial_s_value_is_the_best_of_its_run_and_laggards_are_given_up(make: Make, stopped: Any) -> None:
    study = make(search={"space": SPACE, "trials": 9}, set={"train.epochs": 4})
    with stopped(2):
        assert work(study.directory.root, lambda _line: None) == 143
    assert [trial["state"] for trial in found_trials(study).trials] == ["running"]
    assert work(study.directory.root, lambda _line: None) == 0
    found = {trial["trial"]: trial for trial in found_trials(study).trials}
    assert sorted(found) == list(range(9))
    courses = {number: course(study, number) for number in found}
    for number, trial in found.items():
        config = load_config(trial_run(study, number).config)
        assert config.optimizer.lr == trial["params"]["optimizer.lr"]
        assert 1e-4 <= config.optimizer.lr <= 1e-2
        assert config.model.options["width"] == trial["params"]["model.width"]
        # The median rule, by hand: worse at its best than the median of those before at the same epoch.
        before = [courses[n] for n in range(number) if found[n]["state"] == "complete"]
        lags = [
            len(before) >= 4 and epoch > 1 and max(courses[number][:epoch]) < np.median([c[epoch - 1] for c in before])
            for epoch in range(1, len(courses[number]) + 1)
        ]
        assert trial["state"] == ("pruned" if any(lags) else "complete")
        assert not any(lags[:-1])
        assert trial["value"] == (None if any(lags) else pytest.approx(max(courses[number])))
    assert {trial["state"] for trial in found.values()} <= {"complete", "pruned"}
    given_up = {trial.number for trial in open_search(study).trials if trial.user_attrs.get("pruned")}
    assert given_up == {number for number, trial in found.items() if trial["state"] == "pruned"}
    before = {path: path.stat().st_mtime_ns for path in study.directory.search.rglob("last.pt")}
    assert work(study.directory.root, lambda _line: None) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_trial_is_given_up_though_its_worker_dies_before_it_tells(make: Make) -> None:
    study = make(search={"space": SPACE, "trials": 5})
    search, space = open_search(study), {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)}
    for _ in range(4):
        trial = search.ask(space)
        for epoch in range(1, 5):
            trial.report(0.9, epoch)
        search.tell(trial, 0.9)
    last = search.ask({**space, "model.width": CategoricalDistribution([4, 8])})
    pruning = Pruning(last, Monitor(trial_config(study, {}).train, validates=True), prunes=True)
    trainer = Engine(lambda _engine, _batch: None)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: engine.state.metrics.update({"validation/dice": 0.1})
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, pruning)
    trainer.run([0], max_epochs=5)
    assert (pruning.pruned, trainer.state.epoch) == (True, 2)  # the first is not judged
    assert work(study.directory.root, lambda _line: None) == 0
    assert open_search(study).trials[4].state.name == "PRUNED"
    assert not trial_run(study, 4).config.exists()


def test_a_trial_whose_worker_died_before_all_values_were_drawn_fails(make: Make) -> None:
    study = make(search={"space": SPACE, "trials": 1})
    open_search(study).ask({"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)})
    assert work(study.directory.root, lambda _line: None) == 0
    assert [trial["state"] for trial in found_trials(study).trials] == ["fail"]
    assert not trial_run(study, 0).config.exists()


def test_a_journal_of_other_values_is_told(make: Make) -> None:
    study = make(search={"space": SPACE, "trials": 2})
    search = open_search(study)
    search.tell(search.ask({"model.width": CategoricalDistribution([4, 16])}), 0.5)
    with pytest.raises(RunError, match=r"holds a search of other values than .*study\.yaml declares"):
        work(study.directory.root, lambda _line: None)


@pytest.mark.slow
def test_workers_share_the_trials_and_go_on_with_those_of_killed_ones(make: Make) -> None:
    study = make(search={"space": SPACE, "trials": 4, "prune": False})
    command = [sys.executable, "-m", "spine_ignite", "study", "worker", str(study.directory.root)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE
        while not trial_run(study, 0).last.exists():
            assert first.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        first.kill()
        first.wait()
    found = search_study(study, at_once=2, echo=lambda _line: None)
    assert sorted(trial["trial"] for trial in found.trials) == [0, 1, 2, 3]
    assert {trial["state"] for trial in found.trials} == {"complete"}
    assert len({trial["params"]["optimizer.lr"] for trial in found.trials}) == 4
    values = [trial["value"] for trial in found.trials]
    assert values == sorted(values, reverse=True)
    best = load_config(study.directory.search / "best.yaml")
    assert best.optimizer.lr == found.trials[0]["params"]["optimizer.lr"]
    assert {path.name for path in study.directory.search.glob("*.png")} == {"history.png", "trials.png", "keys.png"}
    assert json.loads((study.directory.search / "trials.json").read_text())["trials"] == list(found.trials)


def test_what_cannot_be_searched_is_refused_before_anything_is_tried(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="declares no search"):
        work(make().directory.root)
    study = make(search={"space": {"optimizer.rl": {"low": 1, "high": 2}}})
    with pytest.raises(UsageError, match="unknown key 'optimizer.rl'"):
        search_study(study)
    study = make(search={"space": {"train.epochs": {"low": 0, "high": 2, "whole": True}}})
    with pytest.raises(UsageError, match="train.epochs"):
        search_study(study)
    study = make(search={"space": SPACE, "fold": 2})
    with pytest.raises(UsageError, match="search.fold is 2, but the folds are 0 to 1"):
        search_study(study)
    assert not list(study.directory.search.glob("trials/*"))
