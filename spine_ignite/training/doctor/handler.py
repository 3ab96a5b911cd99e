"""The doctor at work: examines a run after each epoch, and says each diagnosis once."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Events

from spine_ignite.runs.directory import read_rows
from spine_ignite.training.doctor.diagnoses import Diagnosis, Row, diagnose, essential
from spine_ignite.training.doctor.vitals import Vitals
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.handlers.epoch_end import Echo, EpochEnd
from spine_ignite.training.handlers.recorder import MetricsFile
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

    def __init__(self, run: Run, echo: Echo) -> None:
        self.run = run
        self.echo = echo
        self.vitals = Vitals(run)
        self.file = MetricsFile(run.directory.doctor)
        self.history: list[Row] = []
        self.told: dict[str, int] = {}

    def recall(self) -> None:
        """Read what was recorded before a resumed run's checkpoint."""
        self.history = essential(read_rows(self.run.directory.metrics))
        self.told = {row["code"]: row["epoch"] for row in read_rows(self.run.directory.doctor)}

    def summary(self) -> dict[str, float]:
        """Return the vital signs of the epoch, and the share of training that is done."""
        progress = self.run.budget.progress(self.run.trainer.state.iteration)
        return {**self.vitals.summary(), "doctor/progress": progress}

    def examine(self, values: dict[str, Any]) -> None:
        """Take an epoch's record and tell what is new."""
        self.history = essential([*self.history, values])
        for diagnosis in diagnose(self.history):
            self._tell(diagnosis, values["epoch"], values["iteration"])

    def examine_failure(self) -> None:
        """Examine a run that the NaN guard has stopped within an epoch."""
        state = self.run.trainer.state
        loss = float(state.output["loss"]) if state.output is not None else 0.0
        if not math.isfinite(loss):
            place = {"epoch": state.epoch, "iteration": state.iteration, "train/loss": math.nan}
            self.examine({**place, **self.summary()})

    def _tell(self, diagnosis: Diagnosis, epoch: int, iteration: int) -> None:
        before = self.told.get(diagnosis.code)
        if before is not None and epoch < max(before + _AGAIN_AFTER, 2 * before):
            return
        self.told[diagnosis.code] = epoch
        self.file.append(
            {
                "epoch": epoch,
                "iteration": iteration,
                "code": diagnosis.code,
                "sentence": diagnosis.sentence,
                "advice": diagnosis.advice,
            }
        )
        self.echo(f"Doctor:    {diagnosis.sentence} {diagnosis.advice}")


def attach_doctor(run: Run, epoch_end: EpochEnd, echo: Echo) -> Doctor:
    """Let a doctor watch the run; before other listeners are added, which then see what it does."""
    doctor = Doctor(run, echo)
    run.trainer.add_event_handler(Events.STARTED, doctor.recall)
    doctor.vitals.attach()
    epoch_end.summaries.append(doctor.summary)
    run.trainer.add_event_handler(TrainingEvents.RECORDED, lambda: doctor.examine(epoch_end.row))
    run.trainer.add_event_handler(Events.COMPLETED, doctor.examine_failure)
    return doctor
