"""Open the test set of a study: check it against its seal, record that, and judge every cell by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spine_ignite.config import load_config
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import DataError, RunError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.machine.at_once import Ended, Task, run_at_once, spine_ignite_command, visible_devices
from spine_ignite.studies.cell import find_cell, read_record
from spine_ignite.studies.making import Study, load_study
from spine_ignite.studies.pooling import weights_of_tables
from spine_ignite.studies.seal import Opening, read_openings, record_opening, require_sealed
from spine_ignite.studies.standing import standings, summary_line
from spine_ignite.studies.study_directory import study_command
from spine_ignite.volumes.digests import file_sha256

Echo = Callable[[str], None]


def open_test(
    study: Study, *, at_once: int | None = None, devices: Sequence[str] | None = None, echo: Echo = print
) -> Opening:
    """Judge all cells of a study on its test cases, several at once.

    The opening is recorded before the first case is read. Where it was recorded before for the very same networks, that
    opening stays the one, and only what was not judged then is judged now.

    Args:
        study: all of whose cells must be done: a test set is opened once.
        at_once: how many cells at once; default: one for each GPU, or one.
        devices: GPUs to hand out; default: those that are there.
        echo: takes the lines that tell how it goes.

    Raises:
        RunError: a cell is not done, or cannot be judged; or a signal stopped it.
        DataError: the test set is empty, or not the sealed one.
    """
    directory = study.directory
    found = standings(study)
    if any(standing.state != "done" for standing in found):
        raise RunError(
            f"the test set of {directory.root} stays closed until all cells are done ({summary_line(found)}); go on "
            f"with: {study_command('resume', directory.root)}"
        )
    folds = read_folds(directory.splits)
    if not folds.test:
        raise DataError(f"{directory.root} has no test cases; its validation cases are what it can be judged by")
    seal = require_sealed(directory, load_config(directory.config(study.methods[0])).data, folds.test)
    weights = {cell.name: file_sha256(directory.run(cell.name).best) for cell in study.cells}
    before = read_openings(directory)
    opening = record_opening(directory, seal, weights)
    echo(f"Test set: opened {opening.when} by {opening.who}" + (", as recorded then" if opening in before else ""))
    names = [cell.name for cell in study.cells if not _is_judged(study, cell.name)]
    gpus = visible_devices() if devices is None else tuple(devices)
    tasks = [
        Task(name, spine_ignite_command("study", "cell", directory.root, name, "--open-test"), directory.log(name))
        for name in names
    ]
    failed: list[Ended] = []

    def note(ended: Ended) -> None:
        if ended.code:
            failed.append(ended)
        else:
            echo(f"Judged: {ended.task.name}")

    stopping = run_at_once(tasks, at_once or max(1, len(gpus)), gpus, on_end=note)
    if stopping is not None or failed:
        what = "it was stopped"
        if stopping is None:
            what = f"{failed[0].task.name} {failed[0]}; see {failed[0].task.log}"
        raise RunError(
            f"not all cells of {directory.root} are judged on the test set: {what}; the same command goes on where it "
            "was"
        )
    return opening


def judge_cell(root: Path, name: str, echo: Echo = print) -> int:
    """Judge a cell on the test cases, once the opening has been recorded; return the exit code.

    Raises:
        RunError: no opening names its network.
        DataError: a case cannot be judged.
    """
    study = load_study(root)
    find_cell(study, name)
    run, openings = study.directory.run(name), read_openings(study.directory)
    if not openings or openings[-1].weights.get(name) != file_sha256(run.best):
        raise RunError(
            f"no opening of the test set of {root} names this network of {name}; open it with: "
            f"{study_command('report', root, '--open-test')}"
        )
    summary = evaluate(run.root, split="test", echo=echo)
    if summary.failed:
        case, why = next(iter(summary.failed.items()))
        raise DataError(f"{len(summary.failed)} test cases are not judged, {case} for one: {why}")
    echo(f"{name} is judged: test Dice {summary.means['dice']:.4f}")
    return 0


def _is_judged(study: Study, name: str) -> bool:
    """Whether the tables of a cell are there, whole, and of the network that it was done with."""
    record = read_record(study.directory, name)
    try:
        summary = read_tables(study.directory.run(name).evaluation / "test")
    except DataError:
        return False
    return record is not None and not summary.failed and weights_of_tables(summary) == record.weights
