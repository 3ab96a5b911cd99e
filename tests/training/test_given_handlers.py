from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from ignite.handlers import Timer
from torch import nn

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.training.run import resume, train


class Counter:
    """Counts steps, over all parts of a resumed run."""

    def __init__(self) -> None:
        self.steps = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, _engine: Engine) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


def small(root: Path, *overrides: str) -> RunConfig:
    base = (
        f"data.root={root}",
        "data.scheme=lumbar-vertebrae",
        "model.width=4",
        "model.depth=2",
        "train.epochs=1",
        "train.steps_per_epoch=2",
        "data.workers=0",
        "device=cpu",
        "log.tensorboard=false",
    )
    return load_config(None, [*base, *overrides])


def quiet(_line: str) -> None:
    pass


def test_ignites_handlers_and_functions_are_attached_and_what_remembers_is_restored(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    timer, counter, seen = Timer(), Counter(), []
    out = tmp_path / "run"

    def note(trainer: Engine, evaluator: Engine, run: Any) -> None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append((run.directory.root, evaluator)))

    train(small(tiny_dataset), out, echo=quiet, handlers=[timer, counter, note])
    assert timer.value() > 0
    assert counter.steps == 2
    assert [root for root, _ in seen] == [out]
    again = Counter()
    resume(out, ["train.epochs=2"], echo=quiet, handlers=[Timer(), again])
    assert again.steps == 4


def test_what_a_module_keeps_besides_need_be_no_tensor(tiny_dataset: Path, tmp_path: Path) -> None:
    class Noted(nn.Module):
        def get_extra_state(self) -> dict[str, str]:
            return {"made": "here"}

        def set_extra_state(self, state: dict[str, str]) -> None:
            assert state == {"made": "here"}

    def note(_trainer: Engine, _evaluator: Engine, run: Any) -> None:
        run.step.criterion.add_module("noted", Noted())

    assert train(small(tiny_dataset), tmp_path / "run", echo=quiet, handlers=[note]).iterations == 2


def test_a_handler_that_fails_is_named_and_costs_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(small(tiny_dataset), out, echo=quiet)
    before = (out / "checkpoints" / "last.pt").read_bytes()

    def broken(trainer: Engine, evaluator: Engine, run: Any) -> None:
        raise KeyError("lr")

    with pytest.raises(RunError, match=r"handlers\[1\] \(.*broken\) failed when it was attached \(KeyError: 'lr'\)"):
        train(small(tiny_dataset), out, force=True, echo=quiet, handlers=[Counter(), broken])
    for wrong in (3, Timer):
        with pytest.raises(UsageError, match=r"handlers\[0\] .* cannot be attached: give an object with attach"):
            train(small(tiny_dataset), out, force=True, echo=quiet, handlers=[wrong])
    assert (out / "checkpoints" / "last.pt").read_bytes() == before


def test_a_result_knows_its_epochs_and_draws_them(tiny_dataset: Path, tmp_path: Path) -> None:
    import matplotlib

    backend = matplotlib.get_backend(auto_select=False)
    result = train(small(tiny_dataset, "train.epochs=2"), tmp_path / "run", echo=quiet)
    assert [row["epoch"] for row in result.history] == [1, 2]
    loss, dice = result.plot().axes
    assert list(loss.lines[0].get_ydata()) == [row["train/loss"] for row in result.history]
    assert list(dice.lines[0].get_ydata()) == [row["validation/dice"] for row in result.history]
    assert result.plot()._repr_png_().startswith(b"\x89PNG")
    assert matplotlib.get_backend(auto_select=False) == backend
