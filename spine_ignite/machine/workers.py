"""Loader workers end with the trainer that forked them, however that ends, and never before it.

Linux can kill a child when its parent dies, but what it means by parent is the *thread* that forked: a training in a
thread would lose its workers, and its main thread would be told of it, as soon as that thread has ended. So what ties
workers to the process is a pipe whose writing end only the trainer holds: a thread of each worker reads from it, and
comes to its end when the trainer closes it or dies. Where the forking thread is the process's first, the kernel is
asked as well, since it does not need the worker's interpreter to run.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

# A scheduler or a terminal sends these to all processes of a group: they are the trainer's to answer, which finishes
# its step, for which it needs its workers, and then ends them.
_THE_TRAINERS = {signal.SIGINT, signal.SIGTERM}


class _Tie(NamedTuple):
    """What a fork of this thread needs to know: the trainer, the end of the pipe to read, and whether to ask Linux."""

    parent: int
    reading: int
    prctl: Callable[..., Any] | None


_of_thread = threading.local()
_writing: set[int] = set()  # ends that this process holds for its own workers; a fork must let go of all of them
_pipes = threading.Lock()  # held while a pipe is made or closed, and while any thread forks


def usable_cores() -> int:
    """Return how many cores this process may use; where a system does not say, how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tell_of_crowds(workers: int) -> tuple[str, ...]:
    """Return a sentence if there are more loader processes than cores, in place of torch's warnings from now on."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    cores = usable_cores()
    if workers <= cores:
        return ()
    return (
        f"{workers} loader processes share {cores} core{'s' * (cores > 1)}; --set data.workers={cores} may be faster",
    )


@contextmanager
def workers_end_with_us() -> Iterator[None]:
    """Tie the processes that this thread forks in the block to this process, and end them with the block.

    torch's workers look for their parent too, but only once they have started: one whose parent is killed while it
    forks takes its foster parent for its own, waits for ever, and keeps open what the parent had open.

    Signals to the whole process group (Ctrl-C, a scheduler's SIGTERM) do not reach them: the trainer decides.
    """
    before = getattr(_of_thread, "tie", None)
    with _pipes:
        reading, writing = os.pipe()
        _writing.add(writing)
    _of_thread.tie = _Tie(os.getpid(), reading, _kernels_help())
    try:
        yield
    finally:
        _of_thread.tie = before
        with _pipes:
            if writing in _writing:  # not so in a fork of this process
                _writing.remove(writing)
                os.close(writing)
                os.close(reading)


def _kernels_help() -> Callable[..., Any] | None:
    """Return ``prctl`` if what it does is what is wanted here: on Linux, in the thread that ends with the process."""
    if not sys.platform.startswith("linux") or threading.get_native_id() != os.getpid():
        return None
    return getattr(ctypes.CDLL(None), "prctl", None)


def _tie_to_parent() -> None:
    """Do in the fork what it takes to end with the trainer."""
    _pipes.release()  # the forking thread, which is the only one here, took it
    for writing in _writing:
        os.close(writing)
    _writing.clear()
    tie: _Tie | None = getattr(_of_thread, "tie", None)
    if tie is None:
        return
    _of_thread.tie = None
    gc.freeze()  # what the trainer had thrown away is the trainer's to finalise; here a finaliser could end anything
    if tie.prctl is not None:
        tie.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != tie.parent:  # it died before this process could ask to be told
            os._exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _THE_TRAINERS)
    threading.Thread(target=_end_with, args=(tie.reading,), name="end-with-trainer", daemon=True).start()


def _end_with(reading: int) -> None:
    os.read(reading, 1)  # nothing is ever written: it returns when nobody holds the other end any more
    os._exit(0)  # with another code torch would tell a living trainer of a worker that died unexpectedly


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pipes.acquire, after_in_parent=_pipes.release, after_in_child=_tie_to_parent)
