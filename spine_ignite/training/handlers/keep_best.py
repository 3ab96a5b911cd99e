"""``best.pt``: the network that predict and evaluate take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

from spine_ignite.errors import RunError
from spine_ignite.runs.checkpoints import read_checkpoint
from spine_ignite.runs.resumption import identity
from spine_ignite.runs.saving import save_checkpoint
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.monitor import Monitor
from spine_ignite.training.setup import Run


class KeepBest:
    """Keeps the network of the validation whose monitored figure is the best; without validation, the last network.

    The file carries its own score and step, and what was monitored, and a resumed run reads them there: whatever was
    saved or lost between this file and ``last.pt``, a worse network never replaces a better one. While no figure is a
    number (a Dice where neither the reference nor the prediction has a structure), the last validated network is the
    best.

    Args:
        run: the run.
        monitor: reads the figure.
        echo: takes a line about a file that cannot be used.

    Attributes:
        score: the monitored figure of the network in the file; None before there is one, and without validation.
        dice: its mean validation Dice, if there is one.
    """

    def __init__(self, run: Run, monitor: Monitor, echo: Callable[[str], None]) -> None:
        self.run = run
        self.monitor = monitor
        self.echo = echo
        self.score: float | None = None
        self.dice: float | None = None

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.STARTED, self.recall)
        if self.monitor.judges:
            trainer.add_event_handler(TrainingEvents.RECORDED, self.judge)
        else:
            # Before last.pt is written: a run whose last.pt says that it has come to its end has its last network here.
            trainer.add_event_handler(TrainingEvents.SAVING, self.save)

    def recall(self) -> None:
        """Read the score of the network that is there, if it is one of this run."""
        path = self.run.directory.best
        if not self.monitor.judges or not path.is_file():
            return
        try:
            best = read_checkpoint(path).get("best")
        except RunError as error:
            self.echo(f"Warning:   {error}; the next network that is validated takes its place")
            return
        if not isinstance(best, dict) or best.get("run") != identity(self.run.config):
            self.echo(f"Warning:   {path} is not of this run; the next network that is validated takes its place")
            return
        self.score, self.dice = best["score"], best["dice"]

    def judge(self, engine: Engine) -> None:
        """Keep the network if its figure is the best."""
        value = self.monitor.value(self.run.row)
        if value is None and (self.score is not None or self.monitor.name not in self.run.row):
            return
        if value is None or self.monitor.is_better(value, self.score):
            self.score, self.dice = value, self.run.row.get("validation/dice")
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write the judged network, with its score and its place in training; of several processes the first does."""
        if not self.run.processes.first:
            return
        place = {"epoch": engine.state.epoch, "step": engine.state.iteration}
        place |= {"monitor": self.monitor.name, "score": self.score, "dice": self.dice}
        content: dict[str, Any] = {
            "model": self.run.judged.state_dict(),
            "description": self.run.description.state_dict(),
            "best": {**place, "run": identity(self.run.config)},
        }
        save_checkpoint(self.run.directory.best, content)
