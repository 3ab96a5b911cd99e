"""Run the cells of a study on this machine, several at once, each as a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spine_ignite.config import load_config
from spine_ignite.errors import SpineIgniteError
from spine_ignite.machine.at_once import Ended, Task, run_at_once, spine_ignite_command, visible_devices
from spine_ignite.machine.workers import usable_cores
from spine_ignite.names import counted
from spine_ignite.studies.cell import ELSEWHERE, note_crash, read_record
from spine_ignite.studies.making import Study
from spine_ignite.studies.standing import Standing, due, standings, summary_line
from spine_ignite.studies.study_directory import StudyDirectory, study_command

Echo = Callable[[str], None]


@dataclass(frozen=True)
class StudyRun:
    """How it ended.

    Args:
        standings: of all cells now.
        signal: the signal that stopped it, or None.
    """

    standings: tuple[Standing, ...]
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """0 if no cell failed, 1 if one did, 130 after Ctrl-C, 143 after SIGTERM."""
        if self.signal is not None:
            return 128 + self.signal
        return int(any(standing.state == "failed" for standing in self.standings))


def run_study(
    study: Study,
    *,
    at_once: int | None = None,
    devices: Sequence[str] | None = None,
    failed: bool = False,
    echo: Echo = print,
) -> StudyRun:
    """Bring all cells to their end that are not there and that nobody else works on.

    Args:
        study: the study.
        at_once: how many at once; default: one for each GPU, or one.
        devices: GPUs to hand out, as ``CUDA_VISIBLE_DEVICES`` names them; default: those that are there.
        failed: try cells again that failed.
        echo: takes the lines that tell how it goes.

    Raises:
        UsageError: ``at_once`` is not positive.
        RunError: a log cannot be written.
    """
    directory = study.directory
    found = visible_devices() if devices is None else tuple(devices)
    count = at_once if at_once is not None else max(1, len(found))
    before = standings(study)
    cells = due(before, failed)
    echo(f"{summary_line(before)}; {counted(len(cells), 'cell')} to do, {count} at once")
    told = crowd_note(study, count) if not found and len(cells) > 1 else None
    if told:
        echo(f"Note: {told}")
    tasks = [
        Task(cell.name, spine_ignite_command("study", "cell", directory.root, cell.name), directory.log(cell.name))
        for cell in cells
    ]
    stopping = run_at_once(
        tasks,
        count,
        found,
        on_start=lambda task, device: echo(f"Begins: {task.name}{f' on GPU {device}' if device else ''}; {task.log}"),
        on_end=lambda ended: _tell_end(directory, ended, echo),
    )
    after = standings(study)
    echo(summary_line(after))
    if stopping is not None or due(after, failed=True):
        echo(f"Go on with: {study_command('resume', directory.root)}")
    return StudyRun(tuple(after), stopping)


def crowd_note(study: Study, at_once: int) -> str | None:
    """Say that trainings on the CPU will wait for each other's cores; None if each has its own.

    How many threads a training takes belongs to its result, so that it is not chosen here.
    """
    import torch

    cores = usable_cores()
    own = [load_config(study.directory.config(method)).threads or torch.get_num_threads() for method in study.methods]
    if at_once * max(own) <= cores:
        return None
    return (
        f"{at_once} trainings with {max(own)} threads each share {counted(cores, 'core')}; threads: "
        f"{max(1, cores // at_once)} in the study's set would be faster"
    )


def _tell_end(directory: StudyDirectory, ended: Ended, echo: Echo) -> None:
    name = ended.task.name
    if ended.code == ELSEWHERE:
        echo(f"Left:   {name}, another process is at work on it")
        return
    if ended.was_stopped:
        echo(f"Stopped: {name}")
        return
    try:
        record = read_record(directory, name)
        if ended.code != 0 and (ended.code < 0 or record is None or record.state != "failed"):
            note_crash(directory, name, str(ended))
            record = read_record(directory, name)
    except SpineIgniteError as error:  # the others go on; status tells it, too
        echo(f"Failed: {name}: {error}")
        return
    said = f": {record.reason}" if record is not None and record.reason else ""
    echo(f"{'Done:  ' if ended.code == 0 else 'Failed:'} {name}{said}")
