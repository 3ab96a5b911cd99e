"""What happens when is decided by events, not by who was attached first."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from spine_ignite.config import RunConfig, load_config
from spine_ignite.training import session
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]

TIMED = ("minutes", "seconds", "slices_per_second", "doctor/step_seconds", "doctor/waiting")


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
            "train.epochs=3", "train.steps_per_epoch=5", "train.accumulate=2", "train.ema=0.5", "train.patience=2",
            "train.validate_every=2", "log.volumes_every=2", "precision=fp32", "threads=1", *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: leaf for name, item in items for key, leaf in leaves(item, f"{path}/{name}").items()}
    return {path: value.tolist() if isinstance(value, torch.Tensor) else value}


def content(run: Path) -> dict[str, Any]:
    """Everything that a run has written, but for times and its name."""
    found: dict[str, Any] = {}
    timed = ("tfevents", "manifest.jsonl")  # the latter has hashes of files that hold times
    for path in sorted(p for p in run.rglob("*") if p.is_file() and not any(name in p.name for name in timed)):
        name = str(path.relative_to(run))
        if path.suffix == ".pt":
            saved = {key: value for key, value in torch.load(path, weights_only=True).items() if key != "budget"}
            found[name] = list(leaves(saved).items())  # their order, too
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [[(k, v) for k, v in row.items() if k not in TIMED] for row in rows]
        else:
            found[name] = path.read_bytes() if path.name != "environment.json" else None
    return found


def shuffles() -> list[Callable[[list[Any]], list[Any]]]:
    def shuffled(items: list[Any]) -> list[Any]:
        return random.Random(3).sample(items, len(items))

    return [lambda items: items[::-1], shuffled]


@pytest.mark.parametrize("order", shuffles(), ids=["reversed", "shuffled"])
@pytest.mark.parametrize("validation", [0.25, 0])
def test_the_order_of_attachment_makes_no_difference(
    tiny_dataset: Path,
    tmp_path: Path,
    stopped: Stopped,
    monkeypatch: pytest.MonkeyPatch,
    order: Callable[[list[Any]], list[Any]],
    validation: float,
) -> None:
    settings = config(tiny_dataset, f"data.validation={validation}")
    with stopped(7):
        train(settings, tmp_path / "one", echo=quiet)
    resume(tmp_path / "one", echo=quiet)
    create = session.core_handlers
    monkeypatch.setattr(session, "core_handlers", lambda *a: dict(order(list(create(*a).items()))))
    with stopped(7):
        train(settings, tmp_path / "other", echo=quiet)
    resume(tmp_path / "other", echo=quiet)
    one, other = content(tmp_path / "one"), content(tmp_path / "other")
    assert one.keys() == other.keys()
    for name in one:
        assert repr(one[name]) == repr(other[name]), name


def test_events_come_in_their_order_for_whoever_listens(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    seen: list[tuple[str, int]] = []

    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        for event in (*TrainingEvents, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED):
            trainer.add_event_handler(event, lambda engine, e=event: seen.append((e.name, engine.state.iteration)))

    with plugged(attach):
        train(config(tiny_dataset, "train.epochs=1"), tmp_path / "run", echo=quiet)
    step, update = ["ITERATION_COMPLETED", "STEP_SETTLED"], ["GRADIENTS_READY", "UPDATED"]
    steps = [step, [*update, *step], step, [*update, *step], [*update, *step]]
    end = ["EPOCH_ENDING", "VALIDATED", "RECORDING", "RECORDED", "EPOCH_COMPLETED", "EPOCH_SETTLED"]
    save = ["SAVE_DUE", "SAVING", "SAVED"]
    expected = [(name, 0) for name in save]
    expected += [(name, number) for number, names in enumerate(steps, 1) for name in names]
    expected += [(name, 5) for name in (*end, *save)]
    # Who fires an event is a handler of another: a plugin, attached later, hears the outer one after the inner ones.
    assert sorted(seen) == sorted(expected)
    heard = [name for name, _ in seen if name in ("UPDATED", "STEP_SETTLED", "RECORDED", "EPOCH_COMPLETED", "SAVED")]
    assert heard[1:] == [name for name, _ in expected[3:] if name in set(heard)]
