"""Where a launcher has put this process among those that it has started: torchrun, Slurm's srun, or ``--nproc``."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from spine_ignite.errors import UsageError

# What torchrun, srun and --nproc tell a process of its place, and of nothing else.
_TOLD = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SLURM_STEP_NUM_TASKS",
    "SLURM_PROCID", "SLURM_LOCALID", "SPINE_IGNITE_TIE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A process among others.

    Args:
        number: from 0.
        count: of all.
        local: its number on its machine.
        local_count: of all on its machine.
        host: where process 0 is found.
        port: likewise.
        served: whether the launcher keeps the store through which they find each other; else process 0 does.
        attempt: how often the launcher has started them again.
    """

    number: int
    count: int
    local: int
    local_count: int
    host: str
    port: int
    served: bool = False
    attempt: int = 0


def place_of_launch(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Read what the launcher says; None without one.

    Of Slurm the variables of a *step* count, which ``srun`` sets: those of a job are there too for a program that its
    script starts once.

    Raises:
        UsageError: it says only a part.
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            return _of_torchrun(environment)
        if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in environment:
            return _of_slurm(environment)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"the environment speaks of several processes, but not as torchrun and srun do ({error}); start them with "
            "one of these, or with --nproc"
        ) from error
    return None


def without_place(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment for a program that is to be alone, whatever launcher has started this one.

    With the place of this process, such programs would take each other for parts of one training.
    """
    return {
        key: value for key, value in environment.items() if key not in _TOLD and not key.startswith("TORCHELASTIC_")
    }


def require_one(what: str) -> None:
    """Refuse several processes for what only one can do.

    Raises:
        UsageError: a launcher has started several.
    """
    place = place_of_launch()
    if place is not None and place.count > 1:
        raise UsageError(f"{what} takes one process, and {place.count} were started; start one")


def _of_torchrun(environment: Mapping[str, str]) -> Place:
    count = int(environment["WORLD_SIZE"])
    return Place(
        number=int(environment["RANK"]),
        count=count,
        local=int(environment["LOCAL_RANK"]),
        local_count=int(environment.get("LOCAL_WORLD_SIZE", count)),
        host=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        served=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
    )


def _of_slurm(environment: Mapping[str, str]) -> Place:
    count = int(environment["SLURM_STEP_NUM_TASKS"])
    tasks = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", 0))
    return Place(
        number=int(environment["SLURM_PROCID"]),
        count=count,
        local=int(environment["SLURM_LOCALID"]),
        local_count=int(tasks[0]) if tasks else count,
        host=environment.get("MASTER_ADDR") or _first_host(environment),
        port=int(environment.get("MASTER_PORT") or 20000 + (job * 31 + step) % 20000),
        attempt=int(environment.get("SLURM_RESTART_COUNT", 0)),
    )


def _first_host(environment: Mapping[str, str]) -> str:
    """Return the first machine of a list such as ``node[01-04,7],other``, or where srun runs if it has no address."""
    name, number = re.match(r"([^\[,]+)(?:\[(\d+))?", environment["SLURM_STEP_NODELIST"]).groups("")  # type: ignore[union-attr]
    try:
        socket.getaddrinfo(name + number, None)
    except OSError:
        return environment.get("SLURM_SRUN_COMM_HOST", name + number)
    return str(name + number)
