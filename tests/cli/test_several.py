"""``predict`` and ``evaluate`` in several real processes: what one writes, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spine_ignite import cli
from spine_ignite.cli.predict import command as predict
from spine_ignite.cli.several import words_of
from spine_ignite.cli.train import command as train
from spine_ignite.inference.records import record_of
from spine_ignite.locks import lock_folder

Writer = Callable[..., Path]
RunWriter = Callable[..., Path]
Start = Callable[..., list["subprocess.Popen[str]"]]
PROGRAM = ("-m", "spine_ignite")
HOW = ("--device", "cpu", "--precision", "fp32")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process and in those that it starts: the last bits of a sum depend on their number."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def scans(tmp_path: Path, write_volume: Writer) -> Path:
    """Five volumes of several sizes, and a file that is none."""
    folder = tmp_path / "scans"
    for number in range(5):
        array = np.random.default_rng(number).normal(100, 30, (50 + 9 * number, 60, 3 + number)).astype(np.int16)
        write_volume(folder / f"scan{number}.nii.gz", array)
    (folder / "junk.nii.gz").write_text("junk")
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder; the time in a manifest, which is that of the run, counts as none."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in [name for name in found if name.endswith("manifest.jsonl")]:
        found[name] = json.dumps({**json.loads(found[name]), "made": None}).encode()
    return found


def launch(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *PROGRAM, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_two_processes_predict_what_one_does_and_report_a_bad_file_once(
    tmp_path: Path, write_run: RunWriter, scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(write_run(tmp_path / "run")), str(scans), *HOW, "--uncertainty", "--postprocess", "levels", "--json"]
    assert cli.run(["predict", *words, "-o", str(tmp_path / "one")]) == 1
    alone = capsys.readouterr()
    ended = launch("predict", *words, "-o", tmp_path / "two", "--nproc", 2)
    assert ended.returncode == 1
    assert ended.stderr == alone.err
    assert ended.stderr.count("Error: ") == 1
    assert "junk.nii.gz is not a readable NIfTI image" in ended.stderr
    assert ended.stdout == alone.out.replace(str(tmp_path / "one"), str(tmp_path / "two"))
    one = files_in(tmp_path / "one")
    assert {"scan0.nii.gz", "scan4.json", "scan4.levels.json", "uncertainty/scan4.nii.gz"} <= one.keys()
    assert files_in(tmp_path / "two") == one


def test_two_processes_judge_as_one_does(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    run, alone, pristine = (tmp_path / name for name in ("run", "alone", "pristine"))
    write_run(run, f"data.root={tiny_dataset}")
    shutil.copytree(run, pristine)
    assert cli.run(["evaluate", str(run), *HOW]) == 0
    said = capsys.readouterr().out
    run.rename(alone)
    pristine.rename(run)
    ended = launch("evaluate", run, *HOW, "--nproc", 2)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.partition("Manifest: ")[0] == said.partition("Manifest: ")[0]
    one = files_in(alone)
    assert {"evaluation/test/pictures/Case5.png", "predictions/test/Case6.json", "manifest.jsonl"} <= one.keys()
    assert files_in(run) == one


def test_torchrun_starts_more_processes_than_there_are_volumes(
    tmp_path: Path, write_run: RunWriter, scans: Path
) -> None:
    words = [str(write_run(tmp_path / "run")), str(scans / "scan1.nii.gz"), *HOW]
    assert cli.run(["predict", *words, "-o", str(tmp_path / "one")]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, *PROGRAM, "predict", *words, "-o", str(tmp_path / "two")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("2 processes share the volumes") == 1
    assert ended.stdout.count("1 label volume written to") == 1
    assert files_in(tmp_path / "two") == files_in(tmp_path / "one")


def test_what_cannot_be_done_is_said_once_and_with_its_code(tmp_path: Path, write_run: RunWriter, scans: Path) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    with lock_folder(out, "is predicting into it"):
        ended = launch("predict", run, scans, "-o", out, *HOW, "--nproc", 2)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"Error: {out} is in use: another process (process {os.getpid()}) is predicting into it" in ended.stderr
    ended = launch("predict", run, scans, "-o", out, *HOW, "--series", 3, "--nproc", 2)
    assert ended.returncode == 2
    assert ended.stderr == f"Error: {scans} is not DICOM, and --series is for DICOM alone\n"
    assert not out.exists()


def test_processes_with_two_networks_do_not_begin(
    tmp_path: Path, write_run: RunWriter, scans: Path, start_processes: Start
) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"run{seed}", seed=seed)
    words = ["predict", str(scans), "-o", str(tmp_path / "out"), *HOW]
    own = f"import os; from spine_ignite import cli; cli.main([{words[0]!r}, {str(tmp_path / 'run')!r} + "
    own += f"os.environ['RANK'], *{words[1:]!r}])"
    processes = start_processes(2, "-c", own)
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert "Error: process 1 of 2 was given another network than process 0; start all with the same" in said[1]
    assert f"Error: process 1 of 2 ({socket.gethostname()}) failed: process 1 of 2 was given another" in said[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_other_and_the_rest_is_made_later(
    tmp_path: Path, write_run: RunWriter, scans: Path, write_volume: Writer, start_processes: Start
) -> None:
    (scans / "junk.nii.gz").unlink()
    for number in range(5, 25):
        array = np.random.default_rng(number).normal(100, 30, (120, 90, 12)).astype(np.int16)
        write_volume(scans / f"scan{number}.nii.gz", array)
    words = [str(write_run(tmp_path / "run")), str(scans), *HOW, "--tta"]
    out = tmp_path / "out"
    processes = start_processes(2, *PROGRAM, "predict", *words, "-o", str(out))
    while not list(out.glob("scan*.nii.gz")):
        assert processes[0].poll() is None, processes[0].communicate()[1]
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    _, said = processes[0].communicate(timeout=600)
    assert processes[0].returncode == 1
    assert f"process 1 of 2 ({socket.gethostname()}) has given no sign of life for 25 s" in said
    made = {path: path.stat().st_mtime_ns for path in out.glob("scan*.nii.gz")}
    assert len(made) >= 1
    assert all(record_of(path) is not None for path in made)
    assert cli.run(["predict", *words, "-o", str(out), "--skip-existing"]) == 0
    assert all(path.stat().st_mtime_ns == time_before for path, time_before in made.items())
    assert cli.run(["predict", *words, "-o", str(tmp_path / "one")]) == 0
    assert files_in(out) == files_in(tmp_path / "one")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (predict, "--no-tta --window 32 64 --ensemble x --ensemble y -o -out -- run -scan other"),
        (predict, "run scan -o out --tta --overlap 0.25 --json --series 2 --series all --checkpoint last"),
        (train, "--model unet --set a=[1,2] --set b=c --force --overfit-batches 0"),
    ],
)
def test_a_command_is_called_again_as_it_was_called(command: Any, words: str) -> None:
    context = command.make_context("name", ["--nproc", "3", *words.split()])
    name, *again = words_of(context, but="nproc")
    assert name == "name"
    assert command.make_context("name", list(again)).params == {**context.params, "nproc": None}
