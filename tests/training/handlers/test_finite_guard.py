from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
            "train.epochs=3", "train.steps_per_epoch=4", "train.ema=0.5", "precision=fp32", "threads=1",
            "log.tensorboard=false", *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors(item)]


def infinite_at(step: int) -> Callable[..., None]:
    """An infinite gradient of one weight; the loss of this step is finite, and of an epoch's last step so are all."""

    def attach(trainer: Engine, _evaluator: Engine, run: Any) -> None:
        def spoil(engine: Engine) -> None:
            if engine.state.iteration == step:
                next(run.network.parameters()).grad.view(-1)[0] = torch.inf

        trainer.add_event_handler(TrainingEvents.GRADIENTS_READY, spoil)

    return attach


@pytest.mark.parametrize("validation", [0.2, 0])
def test_weights_that_an_infinite_gradient_spoiled_are_not_saved(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, validation: float
) -> None:
    out = tmp_path / "run"
    settings = config(tiny_dataset, f"data.validation={validation}")
    expected = (
        r"the weights are not finite after step 8 \(epoch 2\), with the batch of .*; the last good checkpoint is "
        ".*last.pt; start a new run with a lower optimizer.lr: spine-ignite train .* --set optimizer.lr=0.0001$"
    )
    with plugged(infinite_at(8)), pytest.raises(RunError, match=expected):
        train(settings, out, echo=quiet)
    saved = {name: torch.load(out / "checkpoints" / f"{name}.pt", weights_only=True) for name in ("last", "best")}
    assert all(tensor.isfinite().all() for tensor in tensors(saved))
    assert (saved["last"]["trainer"]["iteration"], saved["best"]["best"]["step"]) == (4, 4)
    assert resume(out, echo=quiet).epochs == 3, "without the spoilt gradient it goes on"


def test_a_signal_saves_no_spoilt_weights_either(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, stopped: Stopped
) -> None:
    out = tmp_path / "run"
    with plugged(infinite_at(6)), stopped(6), pytest.raises(RunError, match="the weights are not finite after step 6"):
        train(config(tiny_dataset), out, echo=quiet)
    assert torch.load(out / "checkpoints" / "last.pt", weights_only=True)["trainer"]["iteration"] == 4


@pytest.mark.parametrize("where", ["optimizer's state", "averaged weights", "loss's parameters"])
def test_all_that_is_saved_is_looked_at(tiny_dataset: Path, tmp_path: Path, plugged: Plugged, where: str) -> None:
    def attach(trainer: Engine, _evaluator: Engine, run: Any) -> None:
        run.step.criterion.register_buffer("mean", torch.zeros(2))

        def spoil(_engine: Engine) -> None:
            chosen = {
                "optimizer's state": lambda: next(iter(run.optimizer.state.values()))["exp_avg_sq"],
                "averaged weights": lambda: next(run.ema.ema_model.parameters()),
                "loss's parameters": lambda: run.step.criterion.mean,
            }[where]()
            chosen.data.view(-1)[-1] = torch.nan

        trainer.add_event_handler(TrainingEvents.RECORDED, spoil)

    verb = "is" if "state" in where else "are"
    with plugged(attach), pytest.raises(RunError, match=f"the {where} {verb} not finite after step 4"):
        train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["trainer"]["iteration"] == 0


def test_infinities_that_a_network_means_are_its_own(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    from spine_ignite.training import setup

    create = setup.create_model

    def masked(*arguments: Any, **options: Any) -> torch.nn.Module:
        network = create(*arguments, **options)
        network.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "create_model", masked)
        assert train(config(tiny_dataset, "train.ema=null"), tmp_path / "run", echo=quiet).epochs == 3
        assert resume(tmp_path / "run", ["train.epochs=4"], echo=quiet).epochs == 4
