"""Hand the cells of a study to Slurm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spine_ignite.locks import lock_folder
from spine_ignite.machine.at_once import Task, spine_ignite_command
from spine_ignite.machine.slurm_jobs import active_jobs, read_jobs, submit_tasks, write_jobs
from spine_ignite.names import counted
from spine_ignite.studies.cell import ELSEWHERE
from spine_ignite.studies.making import Study
from spine_ignite.studies.standing import due, standings, summary_line
from spine_ignite.studies.study_directory import study_command

Echo = Callable[[str], None]


def submit_study(
    study: Study, options: Mapping[str, Any] | None = None, *, failed: bool = False, echo: Echo = print
) -> dict[str, str]:
    """Submit all cells that are not done, nor worked on, nor in the queue by an earlier call, as one array of jobs.

    A job that is pre-empted, or whose time is up, goes back into the queue and on from its checkpoint; so does one
    whose node has died.

    Args:
        study: the study; its folder and its data must be seen by all nodes under the same path.
        options: what a job asks for, over what the declaration says (``cluster``).
        failed: submit cells again that failed.
        echo: takes the lines that tell what is submitted.

    Returns:
        The number of each job that was submitted, by the name of its cell.

    Raises:
        RunError: submitit or Slurm is not there, or refuses the jobs; or another process submits the study.
        UsageError: an option has a value that cannot be.
    """
    directory = study.directory
    with lock_folder(directory.root, "is submitting it", ".lock-submit"):
        found = standings(study)
        known = read_jobs(directory.slurm)
        queued = active_jobs(known)
        cells = [cell for cell in due(found, failed) if cell.name not in queued]
        echo(f"{summary_line(found)}; {len(queued)} in the queue, {counted(len(cells), 'cell')} to submit")
        if not cells:
            return {}
        root = directory.root.absolute()
        tasks = [
            Task(cell.name, spine_ignite_command("study", "cell", root, cell.name), directory.log(cell.name).absolute())
            for cell in cells
        ]
        asked = {**study.declaration.cluster, **(options or {})}
        folder = directory.slurm.absolute()
        jobs = submit_tasks(tasks, folder, asked, name=root.name, fine=(0, ELSEWHERE))
        write_jobs(folder, known | jobs)
    first = next(iter(jobs.values()))
    echo(f"Submitted: job {first.partition('_')[0]}, {counted(len(jobs), 'task')}; how they stand: "
         f"{study_command('status', directory.root)}")  # fmt: skip
    return jobs
