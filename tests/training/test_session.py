"""What plugins can do to a run, and what they cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average, ConfusionMatrix

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError
from spine_ignite.registry import load_registry
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3", "train.epochs=3"]
    return load_config(
        None, [f"data.root={root}", *base, "precision=fp32", "threads=1", "log.tensorboard=false", *overrides]
    )


def quiet(_line: str) -> None:
    pass


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


class Counter:
    """Counts the epochs of a run, over all its parts."""

    def __init__(self) -> None:
        self.epochs = 0

    def attach(self, trainer: Engine, _evaluator: Engine, run: Any) -> None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.count)
        run.keep("acme.counter", self)

    def count(self) -> None:
        self.epochs += 1

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs = state["epochs"]


@pytest.mark.parametrize("validation", [0, 0.2])
def test_the_documented_handler_runs_with_and_without_validation(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, validation: float
) -> None:
    seen: list[float] = []

    def attach(_trainer: Engine, evaluator: Engine, run: Any) -> None:
        assert run.description.model == "unet"

        @evaluator.on(Events.COMPLETED)
        def tell(engine: Engine) -> None:
            seen.append(engine.state.metrics["dice"])

    lines: list[str] = []
    with plugged(attach):
        train(config(tiny_dataset, f"data.validation={validation}"), tmp_path / "run", echo=lines.append)
    assert len(seen) == (3 if validation else 0)
    assert not any(map(math.isnan, seen))
    assert any(line.startswith("Validation: none") for line in lines) == (not validation)


def test_a_recorded_epoch_is_in_the_trainers_metrics(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    seen: list[dict[str, Any]] = []

    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        trainer.add_event_handler(TrainingEvents.RECORDED, lambda: seen.append(dict(trainer.state.metrics)))

    with plugged(attach):
        train(config(tiny_dataset, "train.validate_every=2"), tmp_path / "run", echo=quiet)
    assert [(row["epoch"], "validation/dice" in row) for row in seen] == [(1, False), (2, True), (3, True)]
    assert [row["train/loss"] for row in seen] == [row["train/loss"] for row in rows(tmp_path / "run")]


PLUGIN_THAT_FAILS_LATE = """
from ignite.engine import Events
from spine_ignite.hookspecs import hookimpl

@hookimpl
def attach_handlers(trainer, evaluator, run):
    @trainer.on(Events.EPOCH_COMPLETED(once=2))
    def fail():
        raise KeyError("late")
"""


@pytest.mark.parametrize("former", [True, False])
def test_a_plugin_that_fails_is_named_and_costs_no_former_run(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, former: bool
) -> None:
    def attach(_trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        raise ValueError("not today")

    out = tmp_path / "run"
    if former:
        train(config(tiny_dataset), out, echo=quiet)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    with plugged(attach), pytest.raises(RunError, match="the plugin acme failed in attach_handlers: ValueError: not"):
        train(config(tiny_dataset, "log.tensorboard=true"), out, force=True, echo=quiet)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_plugin_that_fails_in_training_is_named(tiny_dataset: Path, tmp_path: Path) -> None:
    plugin = ModuleType("acme_nets")
    exec(PLUGIN_THAT_FAILS_LATE, plugin.__dict__)  # its code is of a package of its own
    manager = load_registry().plugin_manager
    manager.register(plugin, name="acme-nets:acme")
    try:
        with pytest.raises(
            RunError, match=r"the plugin acme-nets failed at step \d+ .epoch 2.: KeyError: 'late'; .* go on"
        ):
            train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    finally:
        manager.unregister(plugin)


def test_a_metric_that_is_not_a_number_is_left_out(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    def attach(_trainer: Engine, evaluator: Engine, run: Any) -> None:
        def one_hot(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
            classes = run.scheme.num_classes
            return torch.nn.functional.one_hot(output["prediction"], classes).movedim(-1, 1), output["label"].long()

        ConfusionMatrix(run.scheme.num_classes, output_transform=one_hot).attach(evaluator, "matrix")
        Average(output_transform=lambda output: output["label"].float().mean()[None]).attach(evaluator, "share")

        @evaluator.on(Events.COMPLETED)
        def say(engine: Engine) -> None:
            engine.state.metrics["verdict"] = "fair"

    lines: list[str] = []
    with plugged(attach):
        result = train(config(tiny_dataset), tmp_path / "run", echo=lines.append)
    assert result.epochs == 3
    warnings = [line for line in lines if line.startswith("Warning")]
    assert sorted(warnings) == [
        f"Warning:   the metric validation/{name} is not a number, and is not recorded"
        for name in ("matrix", "verdict")
    ]
    assert all({"validation/matrix", "validation/verdict"}.isdisjoint(row) for row in rows(tmp_path / "run"))
    assert all(0 < row["validation/share"] < 8 for row in rows(tmp_path / "run"))


def test_what_a_plugin_keeps_is_saved_and_restored(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, stopped: Stopped
) -> None:
    steps = 4
    settings = config(tiny_dataset, f"train.steps_per_epoch={steps}")
    with plugged(Counter().attach), stopped(2 * steps + 1):
        train(settings, tmp_path / "run", echo=quiet)
    second = Counter()
    with plugged(second.attach):
        resume(tmp_path / "run", echo=quiet)
    assert second.epochs == 3
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert saved["kept"] == {"acme.counter": {"epochs": 3}}, "what it does at the end of an epoch is in its checkpoint"
    lines: list[str] = []
    resume(tmp_path / "run", ["train.epochs=4"], echo=lines.append)
    assert [line for line in lines if line.startswith("Warning")] == [
        f"Warning:   {tmp_path / 'run'}/checkpoints/last.pt has the state of 'acme.counter', which no installed plugin "
        "keeps: it is dropped"
    ]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (object(), "the plugin acme failed in attach_handlers: TypeError: 'acme.x' cannot be kept: object lacks"),
        (type("Odd", (Counter,), {"state_dict": lambda self: {"path": Path()}})(), "'acme.x', which a plugin keeps in"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_once(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, part: Any, message: str
) -> None:
    with plugged(lambda _trainer, _evaluator, run: run.keep("acme.x", part)), pytest.raises(RunError, match=message):
        train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_two_plugins_cannot_keep_by_one_name(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    def attach(_trainer: Engine, _evaluator: Engine, run: Any) -> None:
        run.keep("acme.counter", Counter())
        run.keep("acme.counter", Counter())

    with plugged(attach), pytest.raises(RunError, match="the name 'acme.counter' is taken"):
        train(config(tiny_dataset), tmp_path / "run", echo=quiet)
