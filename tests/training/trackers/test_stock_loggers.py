"""Ignite's own loggers, attached as Ignite's documentation says, see every figure that is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from ignite.handlers.tensorboard_logger import OutputHandler, TensorboardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spine_ignite.config import load_config
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import train

Attach = Callable[[Engine, Engine, Any], None]


def rows_of_a_run(root: Path, out: Path, attach: Attach) -> list[dict[str, float]]:
    """Train with what ``attach`` attaches; return the rows of ``metrics.jsonl``, without what is no number."""
    overrides = [
        f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
        "train.epochs=2", "train.steps_per_epoch=3", "precision=fp32", "threads=1", "log.tensorboard=false",
    ]  # fmt: skip
    train(load_config(None, overrides), out, echo=lambda _line: None, handlers=[attach])
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"train/loss", "train/gradient_norm", "lr", "seconds", "validation/dice", "validation/dice/L5"} <= set(
        rows[0]
    )
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


@pytest.mark.parametrize("event", [Events.EPOCH_COMPLETED, TrainingEvents.RECORDED])
def test_tensorboard_logger(tiny_dataset: Path, tmp_path: Path, event: Any) -> None:
    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        logger = TensorboardLogger(log_dir=str(tmp_path / "log"))
        logger.attach(trainer, OutputHandler(tag="run", metric_names="all"), event_name=event)
        trainer.add_event_handler(Events.COMPLETED, lambda: logger.close())

    rows = rows_of_a_run(tiny_dataset, tmp_path / "run", attach)
    found = EventAccumulator(str(tmp_path / "log"), size_guidance={"scalars": 0}).Reload()
    assert set(rows[0]) <= {tag.removeprefix("run/") for tag in found.Tags()["scalars"]}
    for name in rows[0]:
        points = [(point.step, point.value) for point in found.Scalars(f"run/{name}")]
        assert points == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in rows if name in row]


def test_mlflow_logger(tiny_dataset: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'spine-ignite[trackers]'")
    from ignite.handlers.mlflow_logger import MLflowLogger

    # Its store in plain files cannot hold a figure validation/dice beside validation/dice/L5.
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    runs: list[str] = []

    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        logger = MLflowLogger(tracking_uri=place)
        runs.append(logger.active_run.info.run_id)
        logger.attach_output_handler(trainer, Events.EPOCH_COMPLETED, tag="run", metric_names="all")
        trainer.add_event_handler(Events.COMPLETED, lambda: logger.close())

    rows = rows_of_a_run(tiny_dataset, tmp_path / "run", attach)
    client = mlflow.tracking.MlflowClient(place)
    for name in rows[0]:
        (found,) = (
            history for key in (f"run {name}", f"run/{name}") if (history := client.get_metric_history(runs[0], key))
        )
        assert [(point.step, point.value) for point in found] == [
            (row["epoch"], row[name]) for row in rows if name in row
        ]


def test_wandb_logger(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install 'spine-ignite[trackers]'")
    from ignite.handlers.wandb_logger import WandBLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    seen: list[dict[str, float]] = []

    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        logger = WandBLogger(mode="offline", dir=str(tmp_path), project="spine")
        logger.attach_output_handler(trainer, Events.EPOCH_COMPLETED, tag="run", metric_names="all")

        @trainer.on(Events.COMPLETED)
        def close(engine: Engine) -> None:
            logger.log({}, step=engine.state.epoch + 1)  # what came before is in the summary from now on
            seen.append(dict(logger._wandb.run.summary))
            logger.close()

    rows = rows_of_a_run(tiny_dataset, tmp_path / "run", attach)
    assert {name: seen[0][f"run/{name}"] for name in rows[-1]} == pytest.approx(rows[-1])
