"""Run a program as its users do and measure it from outside: wall and CPU time, and memory of all its processes.

Memory is looked at up to ten times a second, as long as that takes little of it, and added up over the process and its
children. ``rss`` is what each of them has in memory; it counts what they share once for each. ``pss`` counts what is
shared once. Linux only.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK_EVERY = 0.1  # seconds
LOOK_SHARE = 0.02  # of the time, at the most: a look at a large process takes a while


@dataclass(frozen=True, slots=True)
class Measured:
    """What a program took.

    Args:
        wall: seconds from its start to its end.
        cpu: seconds of all its processes that it waited for.
        pss: largest sum of proportional set sizes, MB.
        rss: largest sum of resident set sizes, MB.
        started: ``time.monotonic()`` at its start.
    """

    wall: float
    cpu: float
    pss: float
    rss: float
    started: float


def measure(words: Sequence[object], environment: Mapping[str, str] | None = None, *, memory: bool = True) -> Measured:
    """Run a program to its end; if it fails, end this one with the last lines that it has said.

    Args:
        words: the program and its arguments.
        environment: variables besides those of this process.
        memory: look at it; a program of a fraction of a second is better left alone (0 is reported).
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(word) for word in words]
    pss = rss = 0.0
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=(log := tempfile.TemporaryFile()),
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    ) as process:
        started = time.monotonic()
        while memory:
            look = time.monotonic()
            now = _memory(process.pid)
            pss, rss = max(pss, now[0]), max(rss, now[1])
            try:
                process.wait(max(LOOK_EVERY, (time.monotonic() - look) / LOOK_SHARE))
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait()
        wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()[-15:]
        sys.exit("\n".join([f"{' '.join(command)} ended with {process.returncode}:", *said]))
    log.close()
    return Measured(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, pss, rss, started)


def family(root: int) -> list[int]:
    """Return a process and all below it."""
    members = [root]
    for member in members:
        try:
            for task in os.listdir(f"/proc/{member}/task"):
                members += map(int, Path(f"/proc/{member}/task/{task}/children").read_text().split())
        except OSError:  # it has just ended
            continue
    return members


def _memory(root: int) -> tuple[float, float]:
    """PSS and RSS of a process and all below it, MB."""
    pss = rss = 0
    for process in family(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        fields = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        pss += int(fields.get("Pss", "0 kB").split()[0])
        rss += int(fields.get("Rss", "0 kB").split()[0])
    return pss * 1024 / 1e6, rss * 1024 / 1e6


def median(values: Iterable[float]) -> float:
    """Return the median, or NaN of nothing."""
    found = list(values)
    return statistics.median(found) if found else float("nan")


def ours(*words: object) -> list[object]:
    """Return the command line of this program."""
    return [Path(sys.executable).with_name("spine-ignite"), *words]


def settings(values: Mapping[str, object]) -> list[str]:
    """Return ``--set`` options."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def write_json(path: Path | None, figures: Any) -> None:
    """Write what was measured, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
