"""A tracker: one table of all epochs, named by ``log.trackers: [csv]``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pydantic import Field

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component, Options


class CsvOptions(Options):
    """Options of the table."""

    columns: tuple[str, ...] = Field(("epoch", "train/loss", "validation/dice"), description="figures of an epoch")


@hookimpl
def register_trackers(register: RegisterComponent) -> None:
    """Register ``csv``."""
    register(Component("csv", f"{__name__}:CsvTracker", "The epochs as one table, epochs.csv", CsvOptions))


class CsvTracker:
    """Writes ``epochs.csv`` into the run; the checkpoint keeps its rows, so that a resumed run goes on with them."""

    def __init__(self, run: Any, echo: Any, columns: tuple[str, ...]) -> None:
        self.path: Path = run.directory.root / "epochs.csv"
        self.columns = columns
        self.rows: list[list[Any]] = []

    def attach(self, trainer: Any) -> None:
        """Connect to what every epoch ends with."""
        from spine_ignite.training.events import TrainingEvents

        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self, trainer: Any) -> None:
        """Add a row; ``trainer.state.metrics`` has the figures of the epoch."""
        self.rows.append([trainer.state.metrics.get(column) for column in self.columns])
        with self.path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.columns, *self.rows])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.rows = [list(row) for row in state["rows"]]
