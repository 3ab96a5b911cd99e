"""How the cells of a study stand, read from their files alone."""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spine_ignite.config import TrainConfig, load_config
from spine_ignite.errors import SpineIgniteError
from spine_ignite.names import counted
from spine_ignite.runs.directory import read_rows
from spine_ignite.studies.cell import BEST_GONE, is_running, read_record
from spine_ignite.studies.making import Study
from spine_ignite.studies.study_directory import Cell
from spine_ignite.training.monitor import Monitor

State = Literal["waiting", "running", "done", "failed", "stopped"]
STATES: tuple[State, ...] = ("done", "running", "stopped", "failed", "waiting")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a cell stands.

    Args:
        cell: which one.
        state: waiting: not begun; running: a process is at work on it; stopped: begun, and gone on with by ``study
            run``; failed: an error ended it, and ``study resume`` tries again; done: trained and judged.
        epoch: epochs that are recorded.
        epochs: that it has in all; None if a budget of minutes ends it.
        score: the best monitored figure so far (``train.monitor``); None before there is one.
        note: why it failed or was stopped.
    """

    cell: Cell
    state: State
    epoch: int
    epochs: int | None
    score: float | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        cell = self.cell
        return {
            "cell": cell.name, "model": cell.model, "setting": cell.setting, "fold": cell.fold, "seed": cell.seed,
            "state": self.state, "epoch": self.epoch, "epochs": self.epochs, "score": self.score, "note": self.note,
        }  # fmt: skip


def standings(study: Study) -> list[Standing]:
    """Return how all cells stand, in the order in which they are trained.

    Raises:
        UsageError: a configuration of the study was damaged.
    """
    configs = {method: load_config(study.directory.config(method)) for method in study.methods}
    return [_standing(study, cell, configs[cell.method].train) for cell in study.cells]


def _standing(study: Study, cell: Cell, train: TrainConfig) -> Standing:
    rows = list(read_rows(study.directory.run(cell.name).metrics))
    best = best_of(rows, Monitor(train, validates=True))
    epoch = max((row["epoch"] for row in rows), default=0)
    epochs = None if train.minutes is not None else train.epochs or 100
    state, note = _state(study, cell)
    return Standing(cell, state, epoch, epochs, best, note)


def best_of(rows: Iterable[Mapping[str, Any]], monitor: Monitor) -> float | None:
    """Return the best monitored figure of some epochs; None if none has one."""
    best = None
    for row in rows:
        value = row.get(monitor.name)
        if isinstance(value, (int, float)) and not math.isnan(value) and monitor.is_better(value, best):
            best = float(value)
    return best


def _state(study: Study, cell: Cell) -> tuple[State, str]:
    directory, run = study.directory, study.directory.run(cell.name)
    if is_running(directory, cell.name):
        return "running", ""
    try:
        record = read_record(directory, cell.name)
    except SpineIgniteError as error:
        return "failed", str(error)
    if record is not None and record.state == "done" and not run.best.is_file():
        return "stopped", BEST_GONE
    if record is None:
        return ("stopped", "its process was killed") if run.config.is_file() else ("waiting", "")
    if record.state == "stopped":
        return (
            "stopped",
            f"by {signal.Signals(int(record.reason)).name}" if record.reason.isdecimal() else record.reason,
        )
    return record.state, record.reason


def due(found: Sequence[Standing], failed: bool) -> list[Cell]:
    """Return the cells that are to be worked on: what waits or was stopped, and what failed if that is asked for."""
    wanted = {"waiting", "stopped"} | ({"failed"} if failed else set())
    return [standing.cell for standing in found if standing.state in wanted]


def summary_line(found: Sequence[Standing]) -> str:
    """Say in a line how many cells stand how."""
    counts = Counter(standing.state for standing in found)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    return f"{counted(len(found), 'cell')}: {', '.join(parts)}"


def readable_standings(found: Sequence[Standing]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the table that is printed."""
    rows = [
        [
            standing.cell.name,
            standing.state,
            f"{standing.epoch}" + (f" of {standing.epochs}" if standing.epochs else ""),
            "-" if standing.score is None else f"{standing.score:.4f}",
            standing.note,
        ]
        for standing in found
    ]
    return ["cell", "state", "epoch", "best", "note"], rows
