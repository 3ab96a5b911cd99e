from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spine_ignite import files
from spine_ignite.errors import RunError
from spine_ignite.files import (
    guard,
    keep_as,
    make_folder,
    open_to_append,
    remove_abandoned,
    write_atomically,
    write_text,
)
from spine_ignite.locks import lock_folder

WRITE = """
import pathlib, sys
from spine_ignite.files import write_atomically
with write_atomically(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@contextmanager
def umask(mask: int) -> Iterator[None]:
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o007, 0o660)])
def test_a_new_file_has_the_rights_that_the_system_gives(tmp_path: Path, mask: int, expected: int) -> None:
    with umask(mask):
        write_text(tmp_path / "new", "x")
        with open_to_append(tmp_path / "appended") as file:
            file.write("x")
    assert {mode(path) for path in tmp_path.iterdir()} == {expected}


@pytest.mark.parametrize("rights", [0o600, 0o640, 0o444, 0o666])
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path, rights: int) -> None:
    path = tmp_path / "file"
    path.write_text("former")
    path.chmod(rights)
    with write_atomically(path) as temporary:
        temporary.write_text("new")
        assert mode(temporary) & 0o077 == 0, "nobody else reads it while it is written, either"
    assert (path.read_text(), mode(path)) == ("new", rights)


def test_writing_does_not_change_the_rights_of_what_other_threads_write(tmp_path: Path) -> None:
    """No moment without a umask: it belongs to the whole process."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            write_text(tmp_path / f"{number % 9}.txt", "x")
            number += 1

    with umask(0o077):
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(300):
                (tmp_path / f"other-{number}").touch()
        finally:
            done.set()
            thread.join()
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("another's")
    link.symlink_to(target)
    write_text(link, "ours")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("another's", "ours", False)


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_appended_through_a_link(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "metrics.jsonl"
    if exists:
        target.write_text("another's")
    link.symlink_to(target)
    with pytest.raises(RunError, match=r"metrics\.jsonl is a link, and links are not written through; remove it"):
        open_to_append(link)
    assert (target.read_text() if exists else target.exists()) == ("another's" if exists else False)


def test_nothing_is_written_to_a_file_under_its_other_name(tmp_path: Path) -> None:
    other, log, lock = tmp_path / "other", tmp_path / "metrics.jsonl", tmp_path / ".lock"
    other.write_text("another's")
    os.link(other, log)
    os.link(other, lock)
    with open_to_append(log) as file:
        file.write(", and ours")
    with (
        pytest.raises(RunError, match=r"\.lock is a file that has another name too, .*; remove it"),
        lock_folder(tmp_path, "x"),
    ):
        pass
    assert (other.read_text(), log.read_text()) == ("another's", "another's, and ours")


def test_a_full_disk_is_told_whoever_writes(tmp_path: Path) -> None:
    """numpy tells it by an error without a number."""
    command = f"""
import resource, signal, pathlib, numpy
from spine_ignite.errors import RunError
from spine_ignite.files import write_with
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    write_with(pathlib.Path("{tmp_path / "x.npy"}"), lambda file: numpy.save(file, numpy.ones(9000)))
except RunError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("the disk (or quota) is full; free some space and try again\n")


def test_a_pipe_is_neither_waited_for_nor_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises((RunError, OSError)):
        open_to_append(tmp_path / "metrics.jsonl")


def test_no_link_below_a_guarded_folder_leads_elsewhere(tmp_path: Path) -> None:
    ours, elsewhere = tmp_path / "way" / "run", tmp_path / "elsewhere"
    for folder in (tmp_path / "real" / "run", elsewhere):
        folder.mkdir(parents=True)
    (tmp_path / "way").symlink_to(tmp_path / "real")  # above it: the user's own way to it
    guard(ours)
    write_text(ours / "checkpoints" / "last.pt", "x")
    (ours / "evaluation").symlink_to(elsewhere)
    for place in (ours / "evaluation" / "cases.csv", ours / "evaluation" / "test" / "pictures" / "a.png"):
        with pytest.raises(RunError, match="evaluation is a link, and links are not written through"):
            write_text(place, "x")
        with pytest.raises(RunError, match="evaluation is a link"):
            open_to_append(place)
    assert list(elsewhere.iterdir()) == []


def test_what_a_killed_process_left_half_written_goes_and_what_lives_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path / "table.csv")]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 2
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        write_text(tmp_path / "other.csv", "x")
        parts = [path for path in tmp_path.iterdir() if path.name.startswith(".part-")]
        assert len(parts) == 1
    finally:
        for writer in writers:
            writer.communicate("")
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "other.csv"}
    assert (tmp_path / "table.csv").read_text() == "half", "the one that lived has come to its end"


@pytest.mark.parametrize("name", [".part-x-table.csv", ".part-spine-ignite-0123456-a", "part-spine-ignite-01234567-a"])
def test_files_of_similar_names_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / ".part-spine-ignite-01234567-folder").mkdir()
    (tmp_path / ".part-spine-ignite-01234567-link").symlink_to(tmp_path / name)
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_names_of_any_length_and_script_are_written(tmp_path: Path) -> None:
    for name in ("a" * 248 + ".nii.gz", "é" * 120 + ".nii.gz", "脊" * 80 + ".csv"):
        with write_atomically(tmp_path / name) as temporary:
            assert temporary.suffixes == Path(name).suffixes, "writers choose their format by it"
            temporary.write_text("x")
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_kept_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError

        monkeypatch.setattr(files.os, "link", refuse)
    path, other = tmp_path / "last.pt", tmp_path / "previous.pt"
    for content in ("1", "2"):
        write_text(path, content)
        keep_as(path, other)
        assert other.read_text() == content
        assert path.exists() == links
    if links:
        keep_as(path, other)  # both are one file by now
    assert {entry.name for entry in tmp_path.iterdir()} == ({"last.pt", "previous.pt"} if links else {"previous.pt"})


def test_a_folder_is_there_when_it_is_whole_and_never_half(tmp_path: Path) -> None:
    with make_folder(tmp_path / "new" / "folder") as part:
        (part / "sub").mkdir()
        (part / "sub" / "a.txt").write_text("a")
        assert not (tmp_path / "new" / "folder").exists()
    assert (tmp_path / "new" / "folder" / "sub" / "a.txt").read_text() == "a"

    def fail() -> None:
        with make_folder(tmp_path / "other") as part:
            (part / "a.txt").write_text("a")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("new", "link"):
        with pytest.raises(RunError, match=f"{name} exists already; choose another place, or remove it"):
            make_folder(tmp_path / name).__enter__()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new"]
