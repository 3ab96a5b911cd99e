"""Commands as jobs of Slurm, through submitit: an array of them, each stopped before its node goes.

Slurm takes a node back by SIGTERM (pre-emption), or by the end of the time that was asked for, of which submitit lets
it send SIGUSR2 some time before. In both cases the command gets SIGTERM, by which a training saves its step, and the
job is put back into the queue, where it goes on. ``scancel`` alone ends it for good.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess  # nosec B404 # our own commands, and Slurm's with fixed arguments
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import explain, guard, open_to_append, write_text
from spine_ignite.machine.at_once import Task
from spine_ignite.machine.launched import without_place

_JOBS = "jobs.json"
_LOOK_EVERY = 0.2  # seconds between two looks at the process
_PATIENCE = 60  # seconds in which Slurm answers
_TIMEOUTS = 10_000  # how often a job that needs more time than it asked for is put back: it goes on each time
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
_DEFAULTS: dict[str, Any] = {"time": 24 * 60, "signal_delay_s": 120}


class SlurmTask:
    """What a job does: runs a command, and passes on what Slurm wants of it.

    Args:
        task: the command.
        fine: exit codes that are no failure.
    """

    def __init__(self, task: Task, fine: Sequence[int] = (0,)) -> None:
        self.task = task
        self.fine = tuple(fine)
        self._child: int | None = None

    def __call__(self) -> int:
        """Run the command and return its exit code.

        Raises:
            RunError: it failed.
        """
        guard(self.task.log.parent)
        self.task.log.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(self.task.log) as log:
            process = subprocess.Popen(  # nosec B603 # our own command
                self.task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**without_place(), "PYTHONUNBUFFERED": "1"},
                # Slurm sends it to all processes of a job: it is for this one, and would end any other.
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )
        self._child = process.pid
        while process.poll() is None:
            time.sleep(_LOOK_EVERY)
        if process.returncode in _STOPPED and _job_runs():
            _requeue()
        if process.returncode not in (*self.fine, *_STOPPED):
            raise RunError(f"{self.task.name} ended with code {process.returncode}; see {self.task.log}")
        return process.returncode

    def checkpoint(self) -> Any:
        """Stop the command before the time is up; submitit calls this, and queues what is returned."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child, signal.SIGTERM)
                # Left to be reaped by __call__, in which this may have come at any place.
                os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(SlurmTask(self.task, self.fine))


def submit_tasks(
    tasks: Sequence[Task], folder: Path, options: Mapping[str, Any], *, name: str, fine: Sequence[int] = (0,)
) -> dict[str, str]:
    """Hand commands to Slurm, as one array of jobs.

    Args:
        tasks: what to run.
        folder: where submitit keeps scripts, pickles and what jobs print; all nodes must see it.
        options: what a job asks for: parameters of submitit's Slurm executor (``partition``, ``time`` in minutes,
            ``gpus_per_node``, ``cpus_per_task``, ``mem_gb``, ``array_parallelism``, ``setup`` …); others go to sbatch
            as they are.
        name: of the jobs.
        fine: exit codes that are no failure of a job.

    Returns:
        The number of each task's job, by the task's name.

    Raises:
        RunError: submitit is not installed, there is no Slurm here, or it refuses the jobs.
        UsageError: an option has a value that cannot be.
    """
    executor = _executor(folder, options, name)
    try:
        with executor.batch():
            jobs = [executor.submit(SlurmTask(task, fine)) for task in tasks]
    except OSError as error:
        raise RunError(explain(error, folder)) from error
    except Exception as error:  # submitit's own error has what sbatch said
        said = " ".join(str(error).split())[-300:]
        raise RunError(f"Slurm does not take the jobs: {said}") from error
    return {task.name: job.job_id for task, job in zip(tasks, jobs, strict=True)}


def _executor(folder: Path, options: Mapping[str, Any], name: str) -> Any:
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise RunError(
            "jobs go to Slurm through submitit, which is not installed; install it with: "
            "pip install 'spine-ignite[cluster]'"
        ) from error
    guard(folder)
    try:
        executor = SlurmExecutor(folder=folder, max_num_timeout=_TIMEOUTS)
    except RuntimeError as error:
        raise RunError("there is no Slurm on this machine: srun is not found; submit from a login node") from error
    known = {*SlurmExecutor._valid_parameters(), *SlurmExecutor._equivalence_dict()}
    asked = {key.replace("-", "_"): value for key, value in options.items()}
    own = {key: value for key, value in asked.items() if key in known and key != "additional_parameters"}
    further = {key.replace("_", "-"): value for key, value in asked.items() if key not in known}
    if not {"time", "timeout_min"} & own.keys():
        own["time"] = _DEFAULTS["time"]
    try:
        executor.update_parameters(
            **{"job_name": name, "signal_delay_s": _DEFAULTS["signal_delay_s"], **own},
            additional_parameters={"requeue": True, **further},
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"what is asked of Slurm cannot be: {' '.join(str(error).split())[:300]}") from error
    return executor


def read_jobs(folder: Path) -> dict[str, str]:
    """Return what :func:`write_jobs` has written into submitit's folder last: the number of each job by its name.

    Raises:
        RunError: the record was damaged.
    """
    path = folder / _JOBS
    try:
        return {str(name): str(job) for name, job in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({type(error).__name__}); remove it, and look with squeue") from error


def write_jobs(folder: Path, jobs: Mapping[str, str]) -> None:
    """Record the last job of each name in submitit's folder."""
    write_text(folder / _JOBS, json.dumps(dict(jobs), indent=1) + "\n")


def active_jobs(jobs: Mapping[str, str]) -> dict[str, str]:
    """Return those of some jobs that wait or run, with their state as Slurm names it.

    Args:
        jobs: numbers by name, as :func:`submit_tasks` returned them.

    Raises:
        RunError: Slurm does not answer.
    """
    if not jobs:
        return {}
    try:
        found = subprocess.run(  # nosec B603 B607 # nothing of it comes from outside; it is looked for as users do
            ["squeue", "--noheader", "--array", "--me", "--format=%i %T"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"Slurm does not say what is in its queue: {error}") from error
    states = dict(line.split(maxsplit=1) for line in found.stdout.splitlines() if " " in line.strip())
    return {name: states[job].strip() for name, job in jobs.items() if job in states}


def _job_runs() -> bool:
    """Whether this job is to run on: one that was cancelled is not."""
    try:
        found = subprocess.run(  # nosec B603 B607
            ["squeue", "--noheader", "--jobs", os.environ["SLURM_JOB_ID"], "--format=%T"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, KeyError, subprocess.SubprocessError):
        return False
    return found.stdout.strip() == "RUNNING"


def _requeue() -> None:
    """Put this job back into the queue, and end."""
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], timeout=_PATIENCE, check=True)  # nosec B603 B607
    sys.exit(1)  # without a result, which would say that it is over
