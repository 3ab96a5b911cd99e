"""Commands that run several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spine_ignite.errors import RunError, UsageError
from spine_ignite.machine.at_once import Ended, Task, run_at_once, visible_devices
from spine_ignite.machine.launched import place_of_launch
from spine_ignite.machine.slurm_jobs import SlurmTask

LAUNCHED = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29400", "TORCHELASTIC_RESTART_COUNT": "2", "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3",
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "localhost",
}  # fmt: skip


def task(folder: Path, name: str, source: str) -> Task:
    return Task(name, (sys.executable, "-c", source), folder / "logs" / f"{name}.log")


def meet(folder: Path, count: int) -> str:
    """Source that ends once ``count`` processes run it at one time."""
    return (
        "import os, pathlib, time\n"
        f"here = pathlib.Path({str(folder)!r})\n"
        "(here / f'came{os.getpid()}').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))\n"
        f"while len(list(here.glob('came*'))) < {count}: time.sleep(0.01)\n"
    )


def test_so_many_run_at_once_and_each_has_a_device_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    tasks = [task(tmp_path, f"t{n}", meet(tmp_path / "place", 3)) for n in range(3)]
    ended: list[Ended] = []
    assert run_at_once(tasks, 3, ("4", "GPU-a", "6"), on_end=ended.append) is None
    assert [end.code for end in ended] == [0, 0, 0]
    assert sorted(path.read_text() for path in (tmp_path / "place").iterdir()) == ["4", "6", "GPU-a"]


def test_never_more_than_that_and_a_device_is_given_again(tmp_path: Path) -> None:
    source = (
        "import os, pathlib, time\n"
        f"lock = pathlib.Path({str(tmp_path)!r}, os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "lock.mkdir()\ntime.sleep(0.3)\nlock.rmdir()\n"  # fails if another process is there
    )
    ended: list[Ended] = []
    run_at_once([task(tmp_path, f"t{n}", source) for n in range(5)], 2, ("0", "1"), on_end=ended.append)
    assert [end.code for end in ended] == [0] * 5


@pytest.mark.parametrize("by_slurm", [False, True])
def test_what_a_launcher_started_starts_programs_that_are_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_slurm: bool
) -> None:
    for key, value in LAUNCHED.items():
        monkeypatch.setenv(key, value)
    source = (
        "import os\nfrom spine_ignite.machine.launched import place_of_launch\n"
        "print(place_of_launch(), os.environ['SLURM_JOB_ID'], [key for key in os.environ if 'TORCHELASTIC' in key])"
    )
    child = task(tmp_path, "child", source)
    assert place_of_launch() is not None
    if by_slurm:
        SlurmTask(child)()
    else:
        run_at_once([child], 1)
    assert child.log.read_text() == "None 17 []\n"


def test_a_crash_takes_only_itself_and_is_told_with_what_it_printed(tmp_path: Path) -> None:
    crash = task(tmp_path, "crash", "import os; print('about to', flush=True); os.kill(os.getpid(), 11)")
    fails = task(tmp_path, "fails", "raise SystemExit(3)")
    ended: list[Ended] = []
    run_at_once([crash, fails, task(tmp_path, "fine", "")], 1, on_end=ended.append)
    assert [str(end) for end in ended] == ["was killed by SIGSEGV", "ended with code 3", "ended with code 0"]
    assert crash.log.read_text() == "about to\n"


def test_a_signal_is_passed_on_once_and_nothing_more_starts(tmp_path: Path) -> None:
    source = (
        "import signal, sys, time, os\n"
        "came = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: came.append(1))\n"
        f"os.kill({os.getpid()}, signal.SIGTERM)\n"
        "while not came: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "sys.exit(100 + len(came))"
    )
    started: list[str] = []
    ended: list[Ended] = []
    former = signal.getsignal(signal.SIGTERM)
    tasks = [task(tmp_path, "first", source), task(tmp_path, "second", "")]
    stopping = run_at_once(tasks, 1, on_start=lambda one, _: started.append(one.name), on_end=ended.append)
    assert (stopping, started, ended[0].code) == (signal.SIGTERM, ["first"], 101)
    assert signal.getsignal(signal.SIGTERM) is former


def test_none_is_left_when_a_callback_fails(tmp_path: Path) -> None:
    source = (
        "import pathlib, signal, sys, time\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "def end(*_):\n    (here / 'told').write_text(''); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "(here / 'began').write_text('')\n"
        "time.sleep(600)\n"
    )
    short = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path)!r}, 'began').exists(): time.sleep(0.01)"

    def fail(_ended: Ended) -> None:
        raise RunError("the screen is full")

    with pytest.raises(RunError, match="the screen is full"):
        run_at_once([task(tmp_path, "long", source), task(tmp_path, "short", short)], 2, on_end=fail)
    assert (tmp_path / "told").exists()


def test_they_end_when_who_started_them_is_killed(tmp_path: Path) -> None:
    child = (
        "import pathlib, signal, sys, time\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "def end(*_):\n    (here / 'told').write_text(''); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "(here / 'began').write_text('')\n"
        "time.sleep(60)\n"
    )
    source = (
        "import pathlib, sys\nfrom spine_ignite.machine.at_once import Task, run_at_once\n"
        f"run_at_once([Task('t', (sys.executable, '-c', {child!r}), pathlib.Path({str(tmp_path)!r}, 'log'))], 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", source])
    for name in ("began", "told"):
        end = time.monotonic() + 60
        while not (tmp_path / name).exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
    process.wait()


def test_what_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="at least one must run at once, not 0"):
        run_at_once([], 0)
    (tmp_path / "logs").write_text("")
    with pytest.raises(RunError, match="a part of its path is a file"):
        run_at_once([task(tmp_path, "t", "")], 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-b,")
    assert visible_devices() == ("3", "GPU-b")


@pytest.mark.parametrize(
    ("source", "stopped"),
    [
        ("raise SystemExit(143)", True),
        ("import os; os.kill(os.getpid(), 2)", True),
        ("import os; os.kill(os.getpid(), 9)", False),
        ("raise SystemExit(1)", False),
        ("", False),
    ],
)
def test_one_that_was_asked_to_stop_is_told_from_one_that_failed(tmp_path: Path, source: str, stopped: bool) -> None:
    source = f"import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n{source}"
    ended: list[Ended] = []
    run_at_once([task(tmp_path, "one", source)], 1, on_end=ended.append)
    assert [end.was_stopped for end in ended] == [stopped]
