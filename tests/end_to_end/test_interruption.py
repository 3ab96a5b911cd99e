"""Runs of the installed command that are killed, interrupted and started twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

OPTIONS = [
    "data.scheme=lumbar-vertebrae",
    "data.batch_size=2",
    "data.workers=1",
    "model.width=4",
    "model.depth=3",
    "train.accumulate=2",
    "train.ema=0.9",
    "precision=fp32",
    "threads=1",
    "log.tensorboard=false",
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spine_ignite", *map(str, arguments)]


def new_run(dataset: Path, out: Path, epochs: int) -> list[str]:
    sets = [part for option in (*OPTIONS, f"train.epochs={epochs}") for part in ("--set", option)]
    return command("train", "--model", "unet", "--data", dataset, "--out", out, *sets)


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "the run ended before it wrote a checkpoint"
        assert time.monotonic() < end, f"{path} was not written within {seconds} s"
        time.sleep(0.02)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_with_the_weights_of_one_never_interrupted(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    epochs = 12
    subprocess.run(new_run(tiny_dataset, tmp_path / "whole", epochs), check=True, capture_output=True)
    rng = random.Random(0)
    parts = tmp_path / "parts"
    last = parts / "checkpoints" / "last.pt"
    process = start(new_run(tiny_dataset, parts, epochs))
    wait_for(last, process)
    for _ in range(3):
        time.sleep(rng.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        process = start(command("train", "--resume", parts))
        time.sleep(4 + rng.uniform(0.0, 1.0))  # imports take most of it: the kill falls into training, or just before
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 or "has come to its end" in err, out + err
    for name in ("last.pt", "best.pt"):
        whole, resumed = (
            torch.load(root / "checkpoints" / name, weights_only=True) for root in (tmp_path / "whole", parts)
        )
        assert whole["model"].keys() == resumed["model"].keys()
        for key, value in whole["model"].items():
            assert torch.equal(value, resumed["model"][key]), f"{key} differs in {name}"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_a_checkpoint_and_has_its_exit_code(
    tiny_dataset: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start(new_run(tiny_dataset, tmp_path / "run", 5000))
    wait_for(tmp_path / "run" / "checkpoints" / "last.pt", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"Stopped by {number.name} after step" in out
    assert "Go on with: spine-ignite train --resume" in out
    assert "Traceback" not in err
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert f"after step {state['trainer']['iteration']}\n" in out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere workers are not forked")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_process_group_loses_no_step(
    tiny_dataset: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As a scheduler or a terminal sends it: to the loader workers too, which the rest of a group of steps needs."""
    out = tmp_path / "run"
    endless = ("--set", "train.steps_per_epoch=1000000", "--set", "train.accumulate=50")
    process = subprocess.Popen(
        [*new_run(tiny_dataset, out, 1), *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(out / "checkpoints" / "last.pt", process)
    end = time.monotonic() + 60
    while not working(process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, number)
    said, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    step = torch.load(out / "checkpoints" / "last.pt", weights_only=True)["trainer"]["iteration"]
    assert step in range(50, 1000000, 50)
    assert f"Stopped by {number.name} after step {step}\n" in said


def working(trainer: int) -> bool:
    """Whether a process has a loader worker that has got as far as its loop: there torch catches SIGBUS."""
    children = Path(f"/proc/{trainer}/task/{trainer}/children").read_text().split()
    states = [Path(f"/proc/{child}/status").read_text() for child in children]
    caught = [int(line.split()[1], 16) for state in states for line in state.splitlines() if line.startswith("SigCgt")]
    return any(mask >> (signal.SIGBUS - 1) & 1 for mask in caught)


def test_a_second_process_on_the_same_run_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    process = start(new_run(tiny_dataset, tmp_path / "run", 5000))
    try:
        wait_for(tmp_path / "run" / "checkpoints" / "last.pt", process)
        second = subprocess.run(
            command("train", "--resume", tmp_path / "run"), capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"is in use: another process (process {process.pid}) is training in it" in second.stderr
    finally:
        process.kill()
        process.communicate()
