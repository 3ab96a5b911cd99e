from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spine_ignite import cli
from spine_ignite.config import RunConfig, dump_config, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.machine import memory
from spine_ignite.machine.memory import available_memory, memory_of
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import Run, build
from spine_ignite.tuning import batch_size
from spine_ignite.tuning.batch_size import Found, find_batch_size, resolve_batch_size, search, train_on_noise
from spine_ignite.tuning.start import train

MIB = 2**20


def options(root: Path, *overrides: str) -> list[str]:
    return [
        f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.spacing=[2, 2]", "data.batch_size=auto",
        "model.width=4", "model.depth=3", "precision=fp32", "threads=1", "train.epochs=2", "log.tensorboard=false",
        *overrides,
    ]  # fmt: skip


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(None, options(root, *overrides))


def a_run(settings: RunConfig) -> Run:
    data = settings.data.model_copy(update={"batch_size": 1})
    settings = settings.model_copy(update={"data": data})
    return build(prepare(settings))


class Device:
    """Memory that a batch takes ``fixed`` bytes of, and ``each`` for every item; refuses beyond ``total``."""

    def __init__(self, fixed: int, each: int, total: int) -> None:
        self.fixed, self.each, self.total = fixed, each, total
        self.tried: list[int] = []

    def __call__(self, size: int) -> int | None:
        self.tried.append(size)
        need = self.fixed + size * self.each
        return need if need <= self.total else None


@pytest.mark.parametrize("fixed", [0, 700])
@pytest.mark.parametrize("fitting", [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 23, 24, 255, 256, 1000])
def test_the_largest_size_that_fits_is_found_and_none_beyond_the_limit_is_tried(fixed: int, fitting: int) -> None:
    limit = fixed + 10 * fitting + 9
    device = Device(fixed, 10, 10**9)
    allowed = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    best = max(size for size in allowed if size <= fitting)
    found = search(device, limit, 256, "no more are tried")
    assert found.size == best
    assert all(size <= fitting for size in device.tried if size > 3), "predicted, not tried"
    assert (found.reason == "no more are tried") == (fitting >= 256)


def test_a_device_that_refuses_before_its_limit_ends_the_search() -> None:
    device = Device(0, MIB, 13 * MIB)
    assert search(device, 2**40, 256, "") == Found(12, "16 would take more memory than there is")
    assert device.tried == [2, 3, 4, 8, 16, 12]
    assert search(Device(0, MIB, MIB), 2**40, 256, "") == Found(1, "2 would take more memory than there is")
    assert search(Device(0, MIB, 0), 2**40, 256, "").size == 0
    reason = search(Device(0, 512 * MIB, 2**40), 3 * 2**30, 256, "").reason
    assert reason == "8 would take 4.0 GiB, and 3.0 GiB may be used"


def test_no_size_beyond_the_bound_is_tried() -> None:
    for most, best in ((1, 1), (2, 2), (5, 4), (6, 6), (13, 12), (32, 32)):
        device = Device(0, 1, 10**9)
        assert search(device, 10**9, most, "bound") == Found(best, "bound")
        assert max(device.tried) == best


class Limited(nn.Module):
    """A network on a device that holds a few items beside gradients: more raise what CUDA's allocator raises."""

    def __init__(self, inner: nn.Module, capacity: int) -> None:
        super().__init__()
        self.inner, self.capacity = inner, capacity
        self.seen: list[tuple[int, bool]] = []

    def forward(self, image: Tensor) -> Any:
        self.seen.append((len(image), any(p.grad is not None for p in self.parameters())))
        if self.seen[-1][1] and len(image) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(image)


def test_real_steps_are_tried_and_go_on_after_a_refusal(tiny_dataset: Path) -> None:
    run = a_run(config(tiny_dataset, "train.accumulate=2", "data.context_slices=1"))
    network = run.step.network = Limited(run.network, 6)
    worked = [train_on_noise(run, size) for size in (2, 3, 4, 8, 6)]
    assert worked == [True, True, True, False, True]
    state = next(iter(run.optimizer.state.values()))
    assert int(state["step"]) == 5, "two updates at first, for the optimizer's state, then one a size"
    sizes = [2, 2, 3, 4, 8, 6]
    groups = [(size, gradients) for size in sizes for gradients in (False, True)]
    assert network.seen == groups, "the second step of a group holds gradients, the first never does"


def test_an_error_that_is_not_about_memory_passes_unless_a_smaller_batch_has_worked(tiny_dataset: Path) -> None:
    run = a_run(config(tiny_dataset))

    class Unsound(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            raise RuntimeError("a network's own mistake")

    run.step.network = Unsound()
    with pytest.raises(RunError, match="model 'unet' of spine-ignite-unet .* RuntimeError: a network's own mistake"):
        train_on_noise(run, 2)
    run.step.contract = None  # as after a batch that has worked
    assert train_on_noise(run, 2, worked=True) is False


def test_a_run_with_auto_is_the_run_with_the_number_it_found(tiny_dataset: Path, tmp_path: Path) -> None:
    """Of 3 training cases 44 patches each are 132: a twentieth is 6."""
    patches = ["data.sampling=patches", "data.patch.size=[16, 12]", "data.patch.samples_per_volume=44"]
    lines: list[str] = []
    settings = config(tiny_dataset, *patches, "train.steps_per_epoch=3")
    train(settings, tmp_path / "auto", echo=lines.append)
    reason = "more than 6 of 132 would leave an epoch fewer than 20 steps"
    assert f"Batch:     6 patches, found by trying: {reason}" in lines
    assert any("of 3 steps with 6 patches" in line for line in lines)
    train(config(tiny_dataset, *patches, "train.steps_per_epoch=3", "data.batch_size=6"), tmp_path / "six", echo=drop)
    assert same_weights(tmp_path / "auto", tmp_path / "six")
    kept, given = ((tmp_path / name / "config.yaml").read_text() for name in ("auto", "six"))
    assert "batch_size: 6" in kept
    assert kept == given, "so that resuming and repeating have the number"


def drop(_line: str) -> None:
    pass


def same_weights(one: Path, other: Path) -> bool:
    first, second = (torch.load(path / "checkpoints" / "last.pt", weights_only=True)["model"] for path in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try in this process, which is quicker than in a new one."""
    monkeypatch.setattr(batch_size, "_find_elsewhere", find_batch_size)


@pytest.mark.usefixtures("here")
def test_every_command_that_trains_takes_auto(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [part for text in options(tiny_dataset) for part in ("--set", text)]
    assert cli.run(["train", "--dry-run", "--json", *asked]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["batch"] == [2, 1, 32, 24]
    assert "Batch:     2 slices, found by trying: more than 2 of 15 would leave" in captured.err
    cli.run(["find-lr", "--steps", "10", *asked])
    assert "Batch:     2 slices, found by trying" in capsys.readouterr().out
    assert cli.run(["train", "--overfit-batches", "1", "--out", str(tmp_path / "run"), *asked]) == 0
    assert "20 steps with 2 slices" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_memory_for_not_even_one_is_told_with_what_to_lower(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 100 * MIB)
    message = "cpu has too little memory to train on a single image of .* pixels: 1 .*; lower {}, or the width"
    with pytest.raises(RunError, match=message.format("data.size")):
        resolve_batch_size(config(tiny_dataset, "data.size=[4096, 4096]"))
    patches = config(tiny_dataset, "data.sampling=patches", "data.patch.size=[4096, 4096]")
    with pytest.raises(RunError, match=message.format("data.patch.size")):
        resolve_batch_size(patches)


def program(folder: Path, command: str) -> str:
    """Return the path of a program that stands in for Python's."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return str(path)


def test_a_mistake_keeps_its_kind_and_a_death_is_told(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = config(tiny_dataset, "loss.name=dice", "loss.options.smoth=1")
    monkeypatch.setattr(sys, "stdin", io.StringIO(dump_config(wrong)))
    batch_size.main()
    (tmp_path / "said").write_text(capsys.readouterr().out)
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"echo a plugin says hello; cat {tmp_path / 'said'}"))
    with pytest.raises(UsageError, match="options of loss 'dice': there is no option 'smoth'"):
        resolve_batch_size(wrong)
    monkeypatch.setattr(sys, "executable", program(tmp_path, "cat > /dev/null; echo oh >&2; exit 1"))
    with pytest.raises(
        RunError, match="the process that tried batch sizes ended with code 1 .oh.; give data.batch_size"
    ):
        resolve_batch_size(config(tiny_dataset))
    with pytest.raises(UsageError, match="data.batch_size is auto, which is for new runs: give a number here"):
        prepare(config(tiny_dataset))
    with pytest.raises(UsageError, match="tells its memory, which mps does not; give a number"):
        memory_of(torch.device("mps"))


KILLED = """
import os
from spine_ignite.tuning import batch_size
real = batch_size.train_on_noise
batch_size.train_on_noise = lambda run, size, worked: os.kill(os.getpid(), 9) if size == 3 else real(run, size, worked)
batch_size.main()
"""


def test_of_a_process_that_the_system_kills_the_largest_size_until_then_stands(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed").write_text(KILLED)
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"exec {sys.executable} {tmp_path / 'killed'}"))
    patches = ["data.sampling=patches", "data.patch.size=[16, 12]", "data.patch.samples_per_volume=44"]
    settings = config(tiny_dataset, *patches)
    lines: list[str] = []
    assert resolve_batch_size(settings, echo=lines.append).data.batch_size == 2
    assert "the process that tried more was killed, most likely for lack of memory" in lines[-1]


# In a process of its own: one that has trained before may serve the request from memory that it has freed.
LIMITED = """
import torch
from spine_ignite.machine import memory
memory.available_memory = lambda: 600 * 2**20
with memory.CpuMemory().enforced():
    try:
        torch.empty(800 * 2**20, dtype=torch.uint8)
    except RuntimeError as error:
        print("refused:", error)
print("granted:", len(torch.empty(800 * 2**20, dtype=torch.uint8)))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to limit the memory of a process")
def test_the_system_refuses_what_would_drive_a_machine_out_of_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    refused, granted = done.stdout.strip().rsplit("\n", 1)
    assert re.match("refused: .*(not enough memory|can't allocate memory)", refused, re.DOTALL)
    assert granted == f"granted: {800 * MIB}"


def test_available_memory_is_what_kernel_and_control_groups_leave(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert available_memory(tmp_path) == 8000 * 1024
    write("proc/self/cgroup", "0::/job/step\n")
    for folder, most in (("", "max"), ("job", "5000000"), ("job/step", "max")):
        write(f"sys/fs/cgroup/{folder}/memory.max", f"{most}\n")
        write(f"sys/fs/cgroup/{folder}/memory.current", "3000000\n")
        write(f"sys/fs/cgroup/{folder}/memory.stat", "anon 1\ninactive_file 1000000\n")
    assert available_memory(tmp_path) == 5000000 - 3000000 + 1000000, "files in the cache can be given up"
    write("proc/self/cgroup", "4:cpu,memory:/not/seen/in/a/container\n0::/\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "900\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "400\n")
    write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 50\n")
    assert available_memory(tmp_path) == 550
