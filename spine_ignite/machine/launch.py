"""Starts several processes of this program on this machine, and ends when all have: ``--nproc``.

The first speaks. What the others write to the error stream is shown if all come to their end without a word of the
first. A process that is left over when another has failed is killed after a while; all end if this one does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess  # nosec B404 # this program itself
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from spine_ignite.errors import RunError
from spine_ignite.machine.workers import usable_cores

_TIE = "SPINE_IGNITE_TIE"  # the descriptor of a pipe of which this program holds the other end
_PATIENCE = 50.0  # seconds in which processes end by themselves once one of them was killed
_TOLD = 15.0  # once one has ended with an error, which it has told the others
_LOOK_EVERY = 0.1  # seconds


def launch(words: Sequence[str], count: int) -> int:
    """Run ``spine-ignite`` with these words in ``count`` processes; return the highest of their exit codes.

    Raises:
        RunError: a process cannot be started.
    """
    with ExitStack() as stack:
        ties = [os.pipe() for _ in range(count)]
        said = [stack.enter_context(tempfile.TemporaryFile()) if n else None for n in range(count)]
        environment = _environment(count)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for number, (reading, _) in enumerate(ties):
                processes.append(_start(words, {**environment, **_own(number, reading)}, reading, said[number]))
        except OSError as error:
            _kill(processes)
            raise RunError(f"process {len(processes)} of {count} cannot be started: {error.strerror}") from error
        finally:
            for reading, _ in ties:
                os.close(reading)
        try:
            with _passed_on([writing for _, writing in ties]):
                code = _wait(processes)
        finally:
            for _, writing in ties:
                os.close(writing)
        if code and processes[0].returncode < 0:
            _show(said[1:])
        return code


def _environment(count: int) -> dict[str, str]:
    """What torchrun sets, and as many threads for each process as there are cores for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, usable_cores() // count)))
    found = {key: value for key, value in os.environ.items() if not key.startswith("TORCHELASTIC_")}
    found |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": threads}
    return found | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def _own(number: int, reading: int) -> dict[str, str]:
    return {"RANK": str(number), "LOCAL_RANK": str(number), _TIE: str(reading)}


def _start(
    words: Sequence[str], environment: dict[str, str], reading: int, said: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    out: Any = None if said is None else subprocess.DEVNULL
    command = [sys.executable, "-m", "spine_ignite", *words]
    return subprocess.Popen(command, env=environment, pass_fds=[reading], stdout=out, stderr=said)  # nosec B603


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all; return the highest exit code, 128 + the signal for one that was killed, but not by this program.

    What a process says of another one's failure is code 1; that of the failure itself is no lower.
    """
    end = float("inf")
    while None in (codes := [process.poll() for process in processes]):
        failed = [code for code in codes if code]
        if failed:
            end = min(end, time.monotonic() + (_PATIENCE if failed[0] < 0 else _TOLD))
        if time.monotonic() > end:
            _kill(processes)
            break
        time.sleep(_LOOK_EVERY)
    for process in processes:
        process.wait()
    known = [code for code in codes if code is not None]
    return max(code if code >= 0 else 128 - code for code in known)


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()


@contextmanager
def _passed_on(ties: list[int]) -> Iterator[None]:
    """Pass a SIGINT or SIGTERM on, once and through the ties, since a scheduler may have sent it to all anyway."""
    former: dict[int, Any] = {}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        for tie in ties:
            try:
                os.write(tie, bytes([number]))
            except OSError:  # this process has come to its end
                continue

    for wanted in (signal.SIGINT, signal.SIGTERM):
        former[wanted] = signal.signal(wanted, on_signal)
    try:
        yield
    finally:
        for caught, handler in former.items():
            signal.signal(caught, handler)


def _show(said: Sequence[IO[bytes] | None]) -> None:
    """Write what the first process that had something to say has said last."""
    for file in said:
        if file is not None:
            file.seek(0)
            lines = file.read().decode(errors="replace").strip().splitlines()
            if lines:
                sys.stderr.write(lines[-1] + "\n")
                return


class Tie:
    """What ties a process to the one that has started it: it ends with it, and gets its signals."""

    def __init__(self) -> None:
        self.listener: Callable[[int], None] | None = None

    def listen(self, reading: int) -> None:
        """Wait for a signal, or for the end of the launcher."""
        while number := os.read(reading, 1):
            if self.listener is not None:
                self.listener(number[0])
            else:
                os.kill(os.getpid(), number[0])
        os._exit(1)


TIE = Tie()


def be_tied() -> None:
    """Tie this process to its launcher, if it has one that asks for it."""
    reading = os.environ.pop(_TIE, "")
    if reading.isdecimal() and Path(f"/dev/fd/{reading}").exists():
        threading.Thread(target=TIE.listen, args=(int(reading),), name="tie", daemon=True).start()
