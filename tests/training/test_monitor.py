from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from spine_ignite.config import RunConfig, TrainConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.monitor import Monitor
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
            "train.epochs=6", "train.steps_per_epoch=3", "precision=fp32", "threads=1", "log.tensorboard=false",
            *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def best(run: Path) -> dict[str, Any]:
    return dict(torch.load(run / "checkpoints" / "best.pt", weights_only=True)["best"])


def recording(values: list[float]) -> Callable[..., None]:
    """A plugin that records these, one an epoch."""

    def attach(trainer: Engine, _evaluator: Engine, run: Any) -> None:
        def record(engine: Engine) -> None:
            run.row["acme/figure"] = values[engine.state.epoch - 1]

        trainer.add_event_handler(TrainingEvents.RECORDING, record)

    return attach


@pytest.mark.parametrize(
    ("name", "less"),
    [("validation/loss", True), ("train/loss/main", True), ("validation/fnr/L5", True), ("validation/iou", False)],
)
def test_less_of_a_loss_or_an_error_rate_is_better(name: str, less: bool) -> None:
    monitor = Monitor(TrainConfig(monitor=name), True)
    assert (monitor.is_better(1.0, 2.0), monitor.is_better(2.0, 1.0)) == (less, not less)
    assert Monitor(TrainConfig(monitor=name, monitor_mode="max"), True).is_better(2.0, 1.0)
    assert not monitor.is_better(1.0, 1.0)


@pytest.mark.parametrize("validation", ["0.25", "0"])
@pytest.mark.parametrize(("mode", "step", "last"), [("max", 6, 12), ("min", 9, 15)])
def test_best_and_patience_look_at_the_monitored_figure(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, validation: str, mode: str, step: int, last: int
) -> None:
    values = [3.0, 4.0, 1.0, 2.0, 3.0, 9.0]
    which = ("train.monitor=acme/figure", f"train.monitor_mode={mode}", "train.patience=2")
    with plugged(recording(values)):
        result = train(config(tiny_dataset, *which, f"data.validation={validation}"), tmp_path / "run", echo=quiet)
    found = best(tmp_path / "run")
    assert (found["step"], found["monitor"], found["score"]) == (step, "acme/figure", values[step // 3 - 1])
    assert result.iterations == last
    assert result.best_dice == found["dice"]


def test_the_best_of_a_monitored_loss_is_remembered_over_a_resume(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped
) -> None:
    settings, out = config(tiny_dataset, "train.monitor=validation/loss"), tmp_path / "run"
    with stopped(10):
        train(settings, out, echo=quiet)
    with pytest.raises(UsageError, match="train.monitor is .*validation/loss.* there and .*validation/iou"):
        resume(out, ["train.monitor=validation/iou"], echo=quiet)
    resume(out, echo=quiet)
    losses = [row["validation/loss"] for row in rows(out)]
    assert best(out)["score"] == min(losses)
    assert best(out)["epoch"] == 1 + losses.index(min(losses))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.monitor=validation/dise"], "not among the recorded figures. Did you mean 'validation/dice'?"),
        (["train.monitor=validation/iou", "data.validation=0"], "nothing is validated"),
    ],
)
def test_an_unknown_figure_is_refused_before_anything_is_written(
    tiny_dataset: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        train(config(tiny_dataset, *overrides), tmp_path / "run", echo=quiet)
    assert message in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_figure_that_no_plugin_records_is_refused_at_the_first_validation(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged
) -> None:
    settings = config(tiny_dataset, "train.monitor=validation/acme", "train.validate_every=2")
    with (
        plugged(recording([1.0] * 6)),
        pytest.raises(UsageError, match=r"validation/acme, which is not .* acme/figure"),
    ):
        train(settings, tmp_path / "run", echo=quiet)
    assert len(rows(tmp_path / "run")) <= 2
