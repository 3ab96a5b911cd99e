"""Commands that run several at once, each as a process of its own, so that a crash takes none but itself with it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess  # nosec B404 # our own commands, no shell
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import explain, guard, open_to_append
from spine_ignite.machine.launched import without_place

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_LOOK_EVERY = 0.1  # seconds between two looks at the processes
VISIBLE = "CUDA_VISIBLE_DEVICES"
_STOPPED = {code for number in (signal.SIGINT, signal.SIGTERM) for code in (128 + number, -number)}


@dataclass(frozen=True)
class Task:
    """A command that is run as a process.

    Args:
        name: what messages call it.
        command: program and arguments.
        log: the file that takes what it prints, after what earlier ones have written there.
    """

    name: str
    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or the negative number of the signal that killed it."""

    task: Task
    code: int

    @property
    def was_stopped(self) -> bool:
        """Whether Ctrl-C or SIGTERM ended it, with the exit code of such an end or before it could give one."""
        return self.code in _STOPPED

    def __str__(self) -> str:
        """Say it in words."""
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with code {self.code}"


def spine_ignite_command(*arguments: object) -> tuple[str, ...]:
    """Return the command line that runs spine-ignite by this very Python."""
    return (sys.executable, "-m", "spine_ignite", *map(str, arguments))


def visible_devices() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip())
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))


def run_at_once(
    tasks: Sequence[Task],
    at_once: int,
    devices: Sequence[str] = (),
    *,
    on_start: Callable[[Task, str | None], None] = lambda _task, _device: None,
    on_end: Callable[[Ended], None] = lambda _ended: None,
) -> int | None:
    """Run commands, so many at once; each is given a GPU of its own as long as there are as many.

    The first SIGINT or SIGTERM is passed on to all that run, nothing more is started, and they are waited for; so it is
    with each further one. If this process is killed, Linux sends SIGTERM to those that run.

    Args:
        tasks: what to run, in this order.
        at_once: how many at once.
        devices: GPUs to hand out by ``CUDA_VISIBLE_DEVICES``; with fewer than ``at_once``, several tasks share one;
            without any, the tasks see what this process sees.
        on_start: is told what starts, and on which GPU.
        on_end: is told how it ended.

    Returns:
        The first signal that came, or None.

    Raises:
        UsageError: ``at_once`` is not positive.
        RunError: a log cannot be written; those that ran were asked to end, as when a callback raises.
    """
    if at_once < 1:
        raise UsageError(f"at least one must run at once, not {at_once}")
    waiting = list(tasks)
    running: dict[subprocess.Popen[bytes], tuple[Task, str | None]] = {}
    load = dict.fromkeys(devices, 0)

    with _signals() as came, _none_left(running):
        passed_on = 0
        while running or (waiting and not came):
            while waiting and len(running) < at_once and not came:
                task = waiting.pop(0)
                device = min(load, key=lambda name: load[name]) if load else None
                running[_start(task, device)] = (task, device)
                if device is not None:
                    load[device] += 1
                on_start(task, device)
            for process in [process for process in running if process.poll() is not None]:
                task, device = running.pop(process)
                if device is not None:
                    load[device] -= 1
                on_end(Ended(task, process.returncode))
            for number in came[passed_on:]:
                passed_on += 1
                for process in running:
                    process.send_signal(number)
            if running:
                time.sleep(_LOOK_EVERY)
    return came[0] if came else None


@contextmanager
def _none_left(running: Mapping[subprocess.Popen[bytes], object]) -> Iterator[None]:
    """Ask all that run to end, and wait for them, if something fails here."""
    try:
        yield
    except BaseException:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        raise


def _start(task: Task, device: str | None) -> subprocess.Popen[bytes]:
    environment = {**without_place(), "PYTHONUNBUFFERED": "1"} | ({VISIBLE: device} if device is not None else {})
    try:
        guard(task.log.parent)
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(task.log) as log:
            return subprocess.Popen(  # nosec B603 # our own commands
                task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
                preexec_fn=_ends_with(os.getpid()),
            )
    except OSError as error:
        raise RunError(explain(error, task.log)) from error


def _ends_with(parent: int) -> Callable[[], None] | None:
    """Return what a child does before its program starts, so that it is asked to end when this process is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return None

    def ask() -> None:
        prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it died before this process could ask to be told
            os._exit(1)

    return ask


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give a list that the signals come into (in the main thread; elsewhere none are caught)."""
    came: list[int] = []
    former: dict[int, Any] = {}

    def on_signal(number: int, _frame: object) -> None:
        came.append(number)

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            former[wanted] = signal.signal(wanted, on_signal)
    except ValueError:
        former.clear()
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
