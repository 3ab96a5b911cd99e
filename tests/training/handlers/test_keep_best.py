from __future__ import annotations

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
            "train.epochs=4", "train.steps_per_epoch=3", "precision=fp32", "threads=1", "log.tensorboard=false",
            *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def load(run: Path, name: str) -> dict[str, Any]:
    return dict(torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True))


@pytest.mark.parametrize("average", ["null", "0.5"])
def test_without_validation_the_best_is_the_last(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped, average: str
) -> None:
    out = tmp_path / "run"
    settings = config(tiny_dataset, "data.validation=0", f"train.ema={average}", "train.checkpoint_every=2")

    def check(step: int) -> None:
        best, last = load(out, "best"), load(out, "last")
        judged = last["model"] if average == "null" else last["ema"]
        assert all(torch.equal(best["model"][name], judged[name]) for name in judged)
        assert (best["best"]["step"], best["best"]["score"], last["trainer"]["iteration"]) == (step, None, step)

    with stopped(5):
        assert train(settings, out, echo=quiet).best_dice is None
    check(5)
    assert resume(out, echo=quiet).best_dice is None
    check(12)


def dice(values: list[float]) -> Callable[..., None]:
    """Let validation find these, one after the other."""

    def attach(_trainer: Engine, evaluator: Engine, _run: Any) -> None:
        found = iter(values)
        evaluator.add_event_handler(Events.COMPLETED, lambda engine: engine.state.metrics.update(dice=next(found)))

    return attach


NONE = float("nan")


@pytest.mark.parametrize(
    ("values", "epoch", "score"),
    [
        ([0.1, 0.4, 0.3, 0.4], 2, 0.4),
        ([NONE, 0.0, NONE, 0.0], 2, 0.0),
        ([NONE, NONE, 0.3, NONE], 3, 0.3),
        ([NONE, NONE, NONE, NONE], 4, None),
    ],
)
def test_the_highest_dice_is_kept_and_none_is_no_dice(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, values: list[float], epoch: int, score: float | None
) -> None:
    out = tmp_path / "run"
    with plugged(dice(values)):
        result = train(config(tiny_dataset), out, echo=quiet)
    assert load(out, "best")["best"]["epoch"] == epoch
    assert result.best_dice == score
