"""``best.pt``: the network that predict and evaluate take."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

from spine_ignite.errors import RunError
from spine_ignite.runs.checkpoints import read_checkpoint
from spine_ignite.runs.resumption import identity
from spine_ignite.runs.saving import save_checkpoint
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class KeepBest:
    """Keeps the judged network of the validation with the highest mean Dice; without validation, the last network.

    The file carries its own score and step, and a resumed run reads them there: whatever was saved or lost between this
    file and ``last.pt``, a worse network never replaces a better one. While no Dice is a number (neither the reference
    nor the prediction has a structure), the last validated network is the best.

    Args:
        run: the run.
        echo: takes a line about a file that cannot be used.

    Attributes:
        score: the mean Dice of the network in the file; None before there is one, and without validation.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.echo = echo
        self.score: float | None = None

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.STARTED, self.recall)
        if self.run.validates:
            trainer.add_event_handler(TrainingEvents.RECORDED, self.judge)
        else:
            # Before last.pt is written: a run whose last.pt says that it has come to its end has its last network here.
            trainer.add_event_handler(TrainingEvents.SAVING, self.save)

    def recall(self) -> None:
        """Read the score of the network that is there, if it is one of this run."""
        path = self.run.directory.best
        if not self.run.validates or not path.is_file():
            return
        try:
            best = read_checkpoint(path).get("best")
        except RunError as error:
            self.echo(f"Warning:   {error}; the next network that is validated takes its place")
            return
        if not isinstance(best, dict) or best.get("run") != identity(self.run.config):
            self.echo(f"Warning:   {path} is not of this run; the next network that is validated takes its place")
            return
        self.score = best["score"]

    def judge(self, engine: Engine) -> None:
        """Keep the network if its Dice is the best."""
        dice = engine.state.metrics.get("validation/dice")
        if dice is not None and (self.score is None or math.isnan(self.score) or dice > self.score):
            self.score = dice
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write the judged network, with its score and its place in training."""
        place = {"score": self.score, "epoch": engine.state.epoch, "step": engine.state.iteration}
        content: dict[str, Any] = {
            "model": self.run.judged.state_dict(),
            "description": self.run.description.state_dict(),
            "best": {**place, "run": identity(self.run.config)},
        }
        save_checkpoint(self.run.directory.best, content)
