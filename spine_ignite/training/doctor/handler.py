"""The doctor at work: examines a run after each epoch, and says each diagnosis once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ignite.engine import Engine, Events

from spine_ignite.runs.directory import read_rows
from spine_ignite.runs.rows import append_row
from spine_ignite.training.doctor.diagnoses import Diagnosis, Row, diagnose, essential
from spine_ignite.training.doctor.vitals import Vitals
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run

# A diagnosis that persists is told again when training has gone on this many epochs, and as long again as before.
_AGAIN_AFTER = 20


class Doctor:
    """Tells what is wrong, and appends it to ``doctor.jsonl``.

    All it knows is in ``metrics.jsonl`` and ``doctor.jsonl``: that is what a resumed run's doctor reads.

    Args:
        run: the run.
        echo: takes the lines that tell.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.echo = echo
        self.vitals = Vitals(run)
        self.history: list[Row] = []
        self.told: dict[str, int] = {}

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        self.vitals.attach(trainer)
        trainer.add_event_handler(Events.STARTED, self.recall)
        trainer.add_event_handler(TrainingEvents.RECORDING, self.record)
        trainer.add_event_handler(TrainingEvents.RECORDED, self)
        trainer.add_event_handler(TrainingEvents.FAILED, self.examine_failure)

    def recall(self) -> None:
        """Read what was recorded before a resumed run's checkpoint."""
        self.history = essential(read_rows(self.run.directory.metrics))
        self.told = {row["code"]: row["epoch"] for row in read_rows(self.run.directory.doctor)}

    def summary(self) -> dict[str, float]:
        """Return the vital signs of the epoch, and the share of training that is done."""
        progress = self.run.budget.progress(self.run.trainer.state.iteration)
        return {**self.vitals.summary(), "doctor/progress": progress}

    def record(self) -> None:
        """Put the vital signs into the epoch's row."""
        self.run.row.update(self.summary())

    def __call__(self) -> None:
        """Take an epoch's record and tell what is new."""
        self._examine(self.run.row)

    def _examine(self, values: dict[str, Any]) -> None:
        self.history = essential([*self.history, values])
        for diagnosis in diagnose(self.history):
            self._tell(diagnosis, values["epoch"], values["iteration"])

    def examine_failure(self) -> None:
        """Examine a run that fails within an epoch, for a loss that is not finite."""
        state = self.run.trainer.state
        place = {"epoch": state.epoch, "iteration": state.iteration, "train/loss": math.nan}
        self._examine({**place, **self.summary()})

    def state_dict(self) -> dict[str, Any]:
        """Return the vital signs of the epoch so far."""
        return self.vitals.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on within an epoch."""
        self.vitals.load_state_dict(state)

    def _tell(self, diagnosis: Diagnosis, epoch: int, iteration: int) -> None:
        before = self.told.get(diagnosis.code)
        if before is not None and epoch < max(before + _AGAIN_AFTER, 2 * before):
            return
        self.told[diagnosis.code] = epoch
        append_row(
            self.run.directory.doctor,
            {
                "epoch": epoch,
                "iteration": iteration,
                "code": diagnosis.code,
                "sentence": diagnosis.sentence,
                "advice": diagnosis.advice,
            },
        )
        self.echo(f"Doctor:    {diagnosis.sentence} {diagnosis.advice}")
