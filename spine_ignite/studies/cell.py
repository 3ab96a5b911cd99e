"""One cell of a study, from its start or from where it was stopped: train, judge on the validation cases, record."""

from __future__ import annotations

import datetime
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.split import Record, Sha256
from spine_ignite.errors import DataError, RunError, UsageError, reason, suggest
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.files import explain, write_text
from spine_ignite.locks import is_locked
from spine_ignite.runs.resumption import changes_between, may_change
from spine_ignite.studies.at_work import CLAIM, claim
from spine_ignite.studies.making import Study, load_study
from spine_ignite.studies.study_directory import Cell, StudyDirectory
from spine_ignite.tuning.start import train_or_resume
from spine_ignite.volumes.digests import file_sha256

ELSEWHERE = 75  # exit code (EX_TEMPFAIL of sysexits.h): another process is at work on the cell
BEST_GONE = "its best.pt is gone"
Echo = Callable[[str], None]
Ending = Literal["done", "stopped", "failed"]


class CellRecord(Record):
    """How a cell ended for the last time.

    Args:
        state: done: trained to its end and judged; stopped: by a signal; failed: by an error.
        reason: why it failed, or the signal's number, or that its network is gone.
        weights: SHA-256 of its best network's file, once it is done.
        seconds: what all attempts took.
        attempts: how often it was begun or gone on with.
        host: where it ended.
        ended: when, in UTC.
    """

    format: Literal[1] = 1
    state: Ending
    reason: str = ""
    weights: Sha256 | None = None
    seconds: float
    attempts: int
    host: str
    ended: str


def read_record(directory: StudyDirectory, cell: str) -> CellRecord | None:
    """Return how a cell ended; None if it has not yet.

    Raises:
        DataError: the record was damaged.
    """
    path = directory.record(cell)
    try:
        return CellRecord.model_validate(json.loads(path.read_text(encoding="utf-8")), strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read ({type(error).__name__}); remove it, and run the study again"
        ) from error


def is_running(directory: StudyDirectory, cell: str) -> bool:
    """Whether a process is at work on a cell at this moment."""
    return is_locked(directory.run(cell).root, CLAIM)


def find_cell(study: Study, name: str) -> Cell:
    """Return the cell of a name.

    Raises:
        UsageError: the study has none of this name.
    """
    cells = {cell.name: cell for cell in study.cells}
    if name not in cells:
        raise UsageError(f"{study.directory.root} has no cell '{name}'.{suggest(name, cells)}")
    return cells[name]


def run_cell(root: Path, name: str, echo: Echo = print) -> int:
    """Bring a cell to its end, unless it is there or another process is at work on it.

    Args:
        root: the study.
        name: of the cell.
        echo: takes the lines that tell how it goes.

    Returns:
        The exit code: 0; 130 or 143 after a signal; :data:`ELSEWHERE`.

    Raises:
        RunError: ``root`` is no study.
        Exception: whatever stopped the training; it is recorded.
    """
    study = load_study(root)
    cell, directory = find_cell(study, name), study.directory
    with ExitStack() as stack:
        if not claim(stack, directory.run(name).root):
            echo(f"Another process is at work on {name}")
            return ELSEWHERE
        before = read_record(directory, name)
        if before is not None and before.state == "done":
            if directory.run(name).best.is_file():
                echo(f"{name} is done")
                return 0
            echo(f"{name} was done, but its best.pt is gone; it is trained again")
            _begin_again(directory, name, before)
        began = time.monotonic()

        def end(state: Ending, reason: str = "", weights: str | None = None) -> None:
            seconds = time.monotonic() - began + (before.seconds if before else 0)
            note_end(directory, name, state, reason, weights, seconds, 1 + (before.attempts if before else 0))

        try:
            config = study.config(cell)
            run = directory.run(name)
            result = train_or_resume(config, run, _changes(config, run.config), echo=echo)
            if result is not None and result.signal is not None:
                end("stopped", str(result.signal))
                return 128 + result.signal
            summary = evaluate(run.root, split="validation", echo=echo)
            if summary.failed:
                case, why = next(iter(summary.failed.items()))
                raise DataError(f"{len(summary.failed)} validation cases are not judged, {case} for one: {why}")
        except Exception as error:
            end("failed", reason(error, directory.run(name).root))
            raise
        end("done", weights=file_sha256(run.best))
        echo(f"{name} is done: validation Dice {summary.means['dice']:.4f}")
        return 0


def _begin_again(directory: StudyDirectory, cell: str, record: CellRecord) -> None:
    """Let a cell whose network was lost be trained from its first step: its checkpoints are of its end."""
    run = directory.run(cell)
    try:
        for path in (run.last, run.previous):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(explain(error, run.last)) from error
    # After the checkpoints and before the training: while it goes on, the cell is not done.
    note_end(directory, cell, "stopped", BEST_GONE, None, record.seconds, record.attempts)


def note_end(
    directory: StudyDirectory,
    cell: str,
    state: Ending,
    reason: str = "",
    weights: str | None = None,
    seconds: float = 0.0,
    attempts: int = 1,
) -> None:
    """Record how a cell ended."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    record = CellRecord(
        state=state, reason=reason, weights=weights, seconds=round(seconds, 1), attempts=attempts,
        host=socket.gethostname(), ended=now,
    )  # fmt: skip
    write_text(directory.record(cell), record.to_json())


def note_crash(directory: StudyDirectory, cell: str, why: str) -> None:
    """Record that the process of a cell ended without a word, as by a segmentation fault or for want of memory."""
    before = read_record(directory, cell)
    seconds, attempts = (before.seconds, before.attempts) if before else (0.0, 0)
    note_end(directory, cell, "failed", f"its process {why}; see {directory.log(cell)}", None, seconds, attempts + 1)


def _changes(config: RunConfig, path: Path) -> dict[str, Any]:
    """What a cell that was begun has otherwise by now, by dotted key: where it runs, what is logged."""
    if not path.is_file():
        return {}
    changes = changes_between(load_config(path), config)
    return {key: value for key, _, value in changes if may_change(key) and value is not None}
