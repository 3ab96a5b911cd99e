from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from spine_ignite import locks
from spine_ignite.errors import RunError
from spine_ignite.locks import lock_folder

HOLD = """
import os, pathlib, sys
from spine_ignite.locks import lock_folder
with lock_folder(pathlib.Path(sys.argv[1]), "works in it"):
    child = os.fork()  # as a loader worker, which lives on when its parent is killed
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    print("held", flush=True)
    os.waitpid(child, 0)
"""

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="no locks of this kind on this system")


def test_a_killed_process_leaves_no_lock_though_its_children_live(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=rf"another process .process {holder.pid}. works in it; wait for it"),
            lock_folder(tmp_path, "works in it"),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock_folder(tmp_path, "works in it"):  # the child still waits for the end of its input
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()} {socket.gethostname()}\n"
        holder.stdin.close()
    assert (tmp_path / ".lock").read_text() == "", "nobody is named who holds it no longer"


@pytest.mark.parametrize(
    ("signature", "named"),
    [
        ("4711 elsewhere\n", r"another process \(process 4711 on elsewhere\) works in it"),
        (f"{2**22 + 1} {socket.gethostname()}\n", "another process works in it"),  # beyond Linux' process numbers
        ("", "another process works in it"),
    ],
)
def test_only_who_may_hold_a_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signature: str, named: str
) -> None:
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    with lock_folder(tmp_path, "works in it"):
        (tmp_path / ".lock").write_text(signature)
        with pytest.raises(RunError, match=named), lock_folder(tmp_path, "works in it"):
            pass


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with (
        pytest.raises(RunError, match=r"cannot be locked .Function not implemented., .* on a file system with locks"),
        lock_folder(tmp_path, "x"),
    ):
        pass
