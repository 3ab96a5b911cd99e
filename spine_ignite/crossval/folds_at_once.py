"""Train several folds at once, each by a process of its own: on this machine, or as jobs of Slurm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.crossval.folds_plan import Echo, Plan, Progress, make_plan, plan_cross_validation
from spine_ignite.errors import RunError
from spine_ignite.locks import lock_folder
from spine_ignite.machine.at_once import Ended, Task, run_at_once, spine_ignite_command, visible_devices
from spine_ignite.machine.slurm_jobs import active_jobs, read_jobs, submit_tasks, write_jobs
from spine_ignite.names import counted
from spine_ignite.ownership import own_folder
from spine_ignite.runs.folds_directory import FoldsDirectory, cross_validate_command


def train_at_once(
    plan: Plan, numbers: Sequence[int], at_once: int, devices: Sequence[str] | None, echo: Echo
) -> int | None:
    """Train folds, so many at once, each with a GPU of its own where there are some.

    Returns:
        The signal that stopped them, or None.

    Raises:
        RunError: one could not be trained; the others were trained first.
    """
    directory = plan.directory
    failed: list[Ended] = []
    by_name = {_task(directory, number).name: number for number in numbers}

    def note(ended: Ended) -> None:
        if ended.code == 0:
            directory.add_trained(by_name[ended.task.name])
            echo(f"Trained: {ended.task.name}")
        elif not ended.was_stopped:
            failed.append(ended)
            echo(f"Failed:  {ended.task.name} {ended}; {ended.task.log}")

    stopping = run_at_once(
        [_task(directory, number) for number in numbers],
        at_once,
        visible_devices() if devices is None else tuple(devices),
        on_start=lambda task, device: echo(f"Begins:  {task.name}{f' on GPU {device}' if device else ''}; {task.log}"),
        on_end=note,
    )
    left = len(numbers) - len(set(numbers) & directory.trained_folds().keys())
    if stopping is None and left:
        why = f"{failed[0].task.name} {failed[0]}; see {failed[0].task.log}" if failed else "they were stopped"
        raise RunError(
            f"{counted(left, 'fold')} of {directory.root} are not trained: {why}; go on with: "
            f"{cross_validate_command(directory.root)}"
        )
    return stopping


def submit_cross_validation(
    config: RunConfig,
    out: Path,
    options: Mapping[str, Any],
    *,
    pictures: int,
    echo: Echo = print,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Hand the folds of a cross-validation to Slurm as an array of jobs, and one more that judges when all are trained.

    Args:
        config: as for :func:`.cross_validate.cross_validate`.
        out: the directory, which all nodes must see, as they must the data.
        options: what a job asks for, see :func:`spine_ignite.machine.slurm_jobs.submit_tasks`.
        pictures: of how many suspect cases pictures are drawn.
        echo: takes the lines that tell what is submitted.
        progress: wraps the cases that are preprocessed.

    Returns:
        The number of each job that was submitted, by its name; none for what is in the queue by an earlier call.

    Raises:
        UsageError: as there, or an option has a value that cannot be.
        DataError: as there.
        RunError: as there; or submitit or Slurm is not there, or refuses the jobs.
    """
    directory = plan_cross_validation(config, Path(out))
    with own_folder(directory.root, "cross-validation", "is cross-validating in it"):
        plan = make_plan(directory, config, progress, echo)
        trained = directory.trained_folds()
        plan.write()
    root = directory.root.absolute()
    here = FoldsDirectory(root)
    with lock_folder(root, "is submitting it", ".lock-submit"):
        known = read_jobs(here.slurm)
        queued = active_jobs(known)
        untrained = [_task(here, number) for number in range(len(plan.folds.folds)) if number not in trained]
        tasks = [task for task in untrained if task.name not in queued]
        if not tasks and "judge" in queued:
            echo(f"All that is to be done is in the queue, the judgement as job {known['judge']}")
            return {}
        jobs = submit_tasks(tasks, here.slurm, options, name=root.name) if tasks else {}
        write_jobs(here.slurm, known | jobs)
        numbers = dict.fromkeys(job.partition("_")[0] for job in jobs.values())
        numbers |= dict.fromkeys(known[task.name] for task in untrained if task.name in queued)
        after = {"dependency": f"afterok:{':'.join(numbers)}", "kill-on-invalid-dep": "yes"} if numbers else {}
        command = spine_ignite_command("cross-validate", "--resume", root, "--pictures", pictures)
        judge = Task("judge", command, root / "logs" / "judge.log")
        jobs |= submit_tasks([judge], here.slurm, {**options, **after}, name=f"{root.name}-judge")
        write_jobs(here.slurm, known | jobs)
    echo(f"Submitted: {counted(len(tasks), 'fold')}, and their judgement as job {jobs['judge']} when they are trained")
    return jobs


def _task(directory: FoldsDirectory, number: int) -> Task:
    command = spine_ignite_command("cross-validate", "--resume", directory.root, "--only-fold", number)
    return Task(f"fold{number}", command, directory.log(number))
