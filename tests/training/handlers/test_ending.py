from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from spine_ignite.config import RunConfig, load_config
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
            "train.epochs=3", "train.steps_per_epoch=4", "precision=fp32", "threads=1", "log.tensorboard=false",
            *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def last(run: Path) -> dict[str, Any]:
    return dict(torch.load(run / "checkpoints" / "last.pt", weights_only=True))


class Watcher:
    """Notes the epochs that a plugin sees completed, with the step, and can end training after a step."""

    def __init__(self, end_after: int | None = None, event: Any = Events.ITERATION_COMPLETED) -> None:
        self.end_after = end_after
        self.event = event
        self.completed: list[tuple[int, int]] = []

    def attach(self, trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.note)
        trainer.add_event_handler(self.event, self.end)

    def note(self, engine: Engine) -> None:
        self.completed.append((engine.state.epoch, engine.state.iteration))

    def end(self, engine: Engine) -> None:
        if engine.state.iteration == self.end_after:
            engine.terminate()


def test_the_epoch_that_a_budget_cuts_short_is_completed_once(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged
) -> None:
    watcher = Watcher()
    out = tmp_path / "run"
    budget = ("train.epochs=null", "train.minutes=0.02", "train.steps_per_epoch=100000", "train.accumulate=3")
    with plugged(watcher.attach):
        result = train(config(tiny_dataset, *budget, "train.validate_every=9"), out, echo=quiet)
    assert watcher.completed == [(1, result.iterations)]
    assert 0 < result.iterations < 100000
    assert result.iterations % 3 == 0, "no gradients are thrown away"
    (row,) = rows(out)
    assert (row["epoch"], row["iteration"]) == (1, result.iterations)
    assert row["validation/dice"] == result.best_dice
    assert last(out)["trainer"]["iteration"] == result.iterations
    watcher.completed.clear()
    with plugged(watcher.attach):
        longer = resume(out, ["train.minutes=0.04"], echo=quiet)
    assert longer.iterations > result.iterations
    assert watcher.completed == [(1, longer.iterations)]
    (row,) = rows(out)
    assert row["iteration"] == longer.iterations, "the epoch went on, and its record is that of the whole"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("step", "seen"), [(6, [(1, 4), (2, 6)]), (8, [(1, 4), (2, 8)])])
def test_whoever_ends_training_completes_the_epoch(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, step: int, seen: list[tuple[int, int]], workers: int
) -> None:
    out, watcher = tmp_path / "run", Watcher(step)
    settings = config(tiny_dataset, "train.checkpoint_every=9", "train.validate_every=9", f"data.workers={workers}")
    with plugged(watcher.attach):
        train(settings, out, echo=quiet)
    assert watcher.completed == seen
    assert [(row["epoch"], row["iteration"], "validation/dice" in row) for row in rows(out)] == [
        (1, 4, False),
        (*seen[1], True),
    ]
    assert last(out)["trainer"]["iteration"] == step
    resume(out, echo=quiet)
    train(settings, tmp_path / "whole", echo=quiet)
    whole, parts = last(tmp_path / "whole")["model"], last(out)["model"]
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert [row["iteration"] for row in rows(out)] == [4, 8, 12]


def test_training_ended_after_an_epoch_s_record_is_validated_and_recorded_once(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged
) -> None:
    out, watcher = tmp_path / "run", Watcher(8, Events.EPOCH_COMPLETED)
    with plugged(watcher.attach):
        train(config(tiny_dataset, "train.checkpoint_every=9", "train.validate_every=9"), out, echo=quiet)
    assert watcher.completed == [(1, 4), (2, 8)]
    assert [(row["epoch"], "validation/dice" in row) for row in rows(out)] == [(1, False), (2, True)]
    assert last(out)["trainer"]["iteration"] == 8


def test_a_signal_leaves_its_epoch_open(tiny_dataset: Path, tmp_path: Path, plugged: Plugged, stopped: Stopped) -> None:
    out, watcher = tmp_path / "run", Watcher()
    with plugged(watcher.attach), stopped(6):
        train(config(tiny_dataset), out, echo=quiet)
    assert watcher.completed == [(1, 4)]
    assert [row["epoch"] for row in rows(out)] == [1]


def test_a_signal_in_the_step_that_ends_the_budget_loses_nothing(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, stopped: Stopped
) -> None:
    out = tmp_path / "run"
    with plugged(Watcher(6).attach), stopped(6):
        result = train(config(tiny_dataset), out, echo=quiet)
    assert result.exit_code == 143
    assert last(out)["trainer"]["iteration"] == 6
    assert [row["iteration"] for row in rows(out)] == [4, 6]


def test_a_signal_after_an_epoch_does_not_validate_out_of_turn(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped
) -> None:
    out, settings = tmp_path / "run", config(tiny_dataset, "train.validate_every=2", "train.checkpoint_every=9")
    with stopped(4):
        assert train(settings, out, echo=quiet).exit_code == 143
    assert last(out)["trainer"]["iteration"] == 4
    resume(out, echo=quiet)
    assert ["validation/dice" in row for row in rows(out)] == [False, True, True]


@pytest.mark.parametrize("event", [Events.STARTED, Events.EPOCH_STARTED])
def test_training_ended_before_a_step_records_no_epoch_without_steps(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, event: Any
) -> None:
    watcher = Watcher(4 if event is Events.EPOCH_STARTED else 0, event)
    with plugged(watcher.attach):
        train(config(tiny_dataset, "train.checkpoint_every=9"), tmp_path / "run", echo=quiet)
    recorded = [(row["epoch"], row["iteration"]) for row in rows(tmp_path / "run")] if watcher.end_after else []
    assert recorded == watcher.completed == ([(1, 4)] if watcher.end_after else [])
    assert last(tmp_path / "run")["trainer"]["iteration"] == watcher.end_after
