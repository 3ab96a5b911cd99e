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
        print("held", flush=True)  # now that it has let go of its parent's lock
        sys.stdin.read()
        os._exit(0)
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
    assert list(tmp_path.iterdir()) == [], "nothing is left when nobody holds it"


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


@pytest.mark.parametrize("exists", [True, False])
def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "target"
    if exists:
        target.write_text("another's")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(target)
    with (
        pytest.raises(RunError, match=r"\.lock is a link, and links are not written through; remove it"),
        lock_folder(tmp_path / "run", "works in it"),
    ):
        pass
    assert target.read_text() == "another's" if exists else not target.exists()


def test_a_folder_made_for_a_lock_goes_if_nothing_came_into_it(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "a" / "b", "works in it"):
        pass
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path / "a" / "b", "works in it"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]


@pytest.mark.parametrize("place", ["dangling", "dangling/a", "file", "file/a"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(RunError), lock_folder(tmp_path / place, "works in it"):
        pass


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_a_folder_that_goes_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    mkdir, failures = os.mkdir, [error(0, "gone", str(tmp_path / "a"))] * 2

    def sometimes(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        mkdir(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", sometimes)
    with lock_folder(tmp_path / "a" / "b", "works in it"):
        assert (tmp_path / "a" / "b" / ".lock").exists()


COUNT = """
import pathlib, sys
from spine_ignite.errors import RunError
from spine_ignite.locks import lock_folder
file, done = pathlib.Path(sys.argv[2]), 0
while done < 60:
    try:
        with lock_folder(pathlib.Path(sys.argv[1]), "counts"):
            number = int(file.read_text())
            file.write_text(str(number + 1))
            done += 1
    except RunError as error:
        assert "another process" in str(error), error
"""


def test_one_process_at_a_time_though_lock_and_folder_come_and_go(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "folder"), str(count)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert count.read_text() == "180"
    assert not (tmp_path / "folder" / ".lock").exists()
