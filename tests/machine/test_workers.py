from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from spine_ignite.config import load_config
from spine_ignite.machine.workers import tell_of_crowds, usable_cores, workers_end_with_us
from spine_ignite.training.run import train

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers are not forked")

SCRIPT = """
import os, signal, threading, time
from spine_ignite.machine.workers import workers_end_with_us

forked = threading.Event()

def work():
    with workers_end_with_us():
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        forked.set()
        {wait}
        os.kill(os.getpid(), signal.SIGKILL)

{start}
"""


@pytest.mark.parametrize("start", ["work()", "threading.Thread(target=work).start(); time.sleep(600)"])
@pytest.mark.parametrize("wait", ["pass", "time.sleep(0.5)"], ids=["killed while it forks", "killed later"])
def test_a_fork_does_not_outlive_a_killed_parent(wait: str, start: str) -> None:
    # The fork has the parent's standard output open too, so that the stream ends only when both have gone.
    script = SCRIPT.format(wait=wait, start=start)
    process = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_a_fork_ignores_signals_to_the_group_and_ends_with_the_block() -> None:
    reading, writing = os.pipe()
    with workers_end_with_us():
        worker = os.fork()
        if worker == 0:
            os.write(writing, b"x")
            time.sleep(600)
            os._exit(1)
        assert os.read(reading, 1) == b"x"
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker, number)
        assert os.waitpid(worker, os.WNOHANG) == (0, 0)
    assert os.waitpid(worker, 0) == (worker, 0), "ended by itself, with a code that torch does not complain of"
    os.close(reading)
    os.close(writing)


def test_blocks_of_two_threads_do_not_hold_on_to_each_other() -> None:
    """A worker inherits the other thread's pipe; if it kept that open, the other's worker would wait for it."""
    forks: dict[str, int] = {}
    inner_left, outer_may_leave = threading.Event(), threading.Event()

    def fork(name: str) -> None:
        forks[name] = os.fork()
        if forks[name] == 0:
            time.sleep(600)
            os._exit(1)

    def other() -> None:
        with workers_end_with_us():
            fork("other")
            inner_left.set()
            outer_may_leave.wait()

    thread = threading.Thread(target=other)
    with workers_end_with_us():
        thread.start()
        inner_left.wait()
        fork("ours")
    assert os.waitpid(forks["ours"], 0) == (forks["ours"], 0), "though the other thread's worker lives on"
    assert os.waitpid(forks["other"], os.WNOHANG) == (0, 0)
    outer_may_leave.set()
    thread.join()
    assert os.waitpid(forks["other"], 0) == (forks["other"], 0)


class Circle:
    """Can only be found by the collector, and then says in which process it was."""

    def __init__(self, found_in: list[int]) -> None:
        self.itself, self.found_in = self, found_in

    def __del__(self) -> None:
        self.found_in.append(os.getpid())


def test_more_workers_than_cores_are_told_in_a_sentence_and_not_by_torch() -> None:
    cores = usable_cores()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tell_of_crowds(cores) == ()
        (sentence,) = tell_of_crowds(cores + 1)
        DataLoader([1, 2], num_workers=cores + 1)  # type: ignore[arg-type]
    assert sentence.startswith(f"{cores + 1} loader processes share {cores} core")


def test_a_worker_finalises_nothing_of_the_trainer_s() -> None:
    found_in: list[int] = []
    gc.collect()
    gc.disable()
    try:
        Circle(found_in)
        with workers_end_with_us():
            worker = os.fork()
            if worker == 0:
                gc.collect()
                os._exit(len(found_in))
            assert os.waitpid(worker, 0) == (worker, 0)
    finally:
        gc.enable()
    gc.collect()
    assert found_in == [os.getpid()]


@pytest.mark.parametrize("sampling", ["slices", "patches"])
def test_a_thread_can_train_with_workers_and_end(tiny_dataset: Path, tmp_path: Path, sampling: str) -> None:
    overrides = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "data.workers=1",
        f"data.sampling={sampling}", "data.patch.size=[32,32]", "model.width=4", "model.depth=3", "train.epochs=1",
        "precision=fp32", "threads=1", "log.tensorboard=false",
    ]  # fmt: skip
    done: list[int] = []
    thread = threading.Thread(
        target=lambda: done.append(train(load_config(None, overrides), tmp_path / "run", echo=lambda _: None).epochs)
    )
    gc.disable()  # a run's parts refer to each other: its loaders live until somebody collects them
    try:
        thread.start()
        thread.join()
        # torch tells of a worker that was killed by an exception in the main thread, wherever that is.
        for child in multiprocessing.active_children():
            child.join()
            assert child.exitcode == 0
    finally:
        gc.enable()
    assert done == [1]
