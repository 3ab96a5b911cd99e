"""Trainings of several real processes, on gloo."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spine_ignite.config import load_config
from spine_ignite.slices.build import build_store
from spine_ignite.verification.verify import verify

CHILD = Path(__file__).parents[2] / "benchmarks" / "processes_child.py"
COMMON = (
    "data.scheme=lumbar-vertebrae", "data.spacing=[2,2]", "data.batch_size=5", "train.steps_per_epoch=4",
    "train.epochs=2", "augment.affine.p=1", "augment.noise.p=0.6",
)  # fmt: skip
SMALL = ("model.width=4", "model.depth=3")
SHARED = ("train.accumulate=2", "train.sync_batch_norm=true")
EMANET = ("model.name=emanet", "model.backbone=resnet18", "model.channels=8", "model.output_stride=32")
PATCHES = ("data.sampling=patches", "data.patch.size=[32,32]", "model.norm=instance", "model.deep_supervision=true")
Start = Callable[..., list["subprocess.Popen[str]"]]


@pytest.fixture
def start(tiny_dataset: Path, start_processes: Start) -> Start:
    """``start_processes`` with a slice store of the dataset."""
    build_store(load_config(None, [f"data.root={tiny_dataset}", *COMMON]).data)
    return start_processes


def weights(start: Start, data: Path, out: Path, count: int, *overrides: str) -> dict[str, Any]:
    processes = start(count, str(CHILD), str(data), str(out), "float64", *COMMON, *overrides)
    for process in processes:
        assert process.wait(900) == 0, process.communicate()[1]
    state: dict[str, Any] = torch.load(out.with_suffix(".pt"))
    return {f"{part}/{name}": value.double() for part, values in state.items() for name, value in values.items()}


@pytest.mark.parametrize(
    ("processes", "overrides"),
    [
        (2, [*SMALL, *SHARED, "train.ema=0.9", "train.clip_norm=0.5"]),
        (4, [*EMANET, *SHARED, "model.dropout=0", "data.batch_size=3"]),
        (2, [*SMALL, *PATCHES, "optimizer.name=sgd", "loss.name=focal"]),
    ],
    ids=["norm", "more-processes-than-rows", "gathered-patches"],
)
def test_several_processes_take_the_steps_of_one(
    start: Start, tiny_dataset: Path, tmp_path: Path, processes: int, overrides: list[str]
) -> None:
    one = weights(start, tiny_dataset, tmp_path / "one", 1, *overrides)
    several = weights(start, tiny_dataset, tmp_path / "several", processes, *overrides)
    assert several.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(several[name], value, rtol=0, atol=1e-9, msg=lambda text, name=name: name + text)


def command(data: Path, out: Path, *overrides: str) -> list[str]:
    settings = [*COMMON, "model.width=4", "model.depth=3", "precision=fp32", "log.tensorboard=false", *overrides]
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["-m", "spine_ignite", "train", "--data", str(data), "--out", str(out), *sets]


def wait_for_steps(out: Path, process: subprocess.Popen[str]) -> None:
    while not (out / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


def test_a_signal_to_one_stops_all_and_another_number_goes_on(start: Start, tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    processes = start(2, *command(tiny_dataset, out, "train.epochs=1000"))
    wait_for_steps(out, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [143, 143]
    assert "Processes: 2, which share each batch of 5" in said[0]
    assert "Stopped by SIGTERM after step" in said[0]
    assert said[1] == ""
    step = int(said[0].partition("after step ")[2].split()[0])
    epochs = step // 4 + 2
    words = ["-m", "spine_ignite", "train", "--resume", str(out), "--set", f"train.epochs={epochs}"]
    (one,) = start(1, *words)
    assert one.wait(600) == 0, one.communicate()[1]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    assert verify(out, again=["."]).findings.unchecked == [
        "the training: it was done by several processes, and is repeated by one alone"
    ]


TWICE = """
import torch
from spine_ignite.machine.processes import several_processes

for _ in range(2):
    with several_processes() as processes:
        numbers = processes.add_up(torch.tensor([1.0, processes.number]))
        print(processes.count, numbers.tolist(), flush=True)
"""


def test_a_program_may_train_twice_under_one_launcher(start: Start) -> None:
    for process in start(2, "-c", TWICE):
        said, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert said.splitlines() == ["2 [2.0, 1.0]"] * 2


def test_what_one_refuses_ends_all_with_its_words(start: Start, tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("mine")
    processes = start(2, *command(tiny_dataset, tmp_path / "run"))
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    own = said[0].strip().splitlines()[-1].removeprefix("Error: ")
    assert f"Error: process 0 of 2 ({socket.gethostname()}) failed: {own}" in said[1]


def test_processes_with_two_configurations_do_not_begin(start: Start, tiny_dataset: Path, tmp_path: Path) -> None:
    words = command(tiny_dataset, tmp_path / "run")[2:]
    own = f"import os; from spine_ignite import cli; cli.main([*{words!r}, '--set', 'seed=' + os.environ['RANK']])"
    processes = start(2, "-c", own)
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert "Error: process 1 of 2 was given another configuration than process 0; start all with" in said[1]
    assert "failed: process 1 of 2 was given another configuration" in said[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("sent", "hit"), [(signal.SIGKILL, 1), (signal.SIGSTOP, 0)])
def test_a_process_that_is_killed_or_stopped_ends_the_others(
    start: Start, tiny_dataset: Path, tmp_path: Path, sent: signal.Signals, hit: int
) -> None:
    out = tmp_path / "run"
    processes = start(2, *command(tiny_dataset, out, "train.epochs=100000"))
    wait_for_steps(out, processes[0])
    processes[hit].send_signal(sent)
    other = processes[1 - hit]
    _, said = other.communicate(timeout=600)
    assert other.returncode == 1
    assert f"process {hit} of 2" in said
    assert "no sign of life for 25 s" in said or "is gone, or has not answered" in said
    assert f"go on with: spine-ignite train --resume {out}" in said
