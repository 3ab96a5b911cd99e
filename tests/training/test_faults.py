"""Faults that are really caused in the middle of a training: what is said, and what is left to go on with."""

from __future__ import annotations

import multiprocessing
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.files import write_text
from spine_ignite.hookspecs import hookimpl
from spine_ignite.registry import load_registry
from spine_ignite.training.run import resume, train

Fault = Callable[[Any], None]


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3", "train.epochs=3"]
    return load_config(
        None, [f"data.root={root}", *base, "precision=fp32", "threads=1", "log.tensorboard=false", *overrides]
    )


@contextmanager
def fault_at(step: int, fault: Fault) -> Iterator[None]:
    """Let ``fault(run)`` happen after a step of whatever is trained inside."""

    class Saboteur:
        __module__ = "acme"  # the faults below are not of the plugin's package

        @hookimpl
        def attach_handlers(self, trainer: Engine, run: Any) -> None:
            trainer.add_event_handler(Events.ITERATION_COMPLETED(once=step), lambda _: fault(run))

    manager = load_registry().plugin_manager
    saboteur = Saboteur()
    manager.register(saboteur)
    try:
        yield
    finally:
        manager.unregister(saboteur)


def weights(out: Path) -> dict[str, Any]:
    return dict(torch.load(out / "checkpoints" / "last.pt", weights_only=True)["model"])


def quiet(_line: str) -> None:
    pass


def test_a_killed_worker_costs_no_more_than_a_resume(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = config(tiny_dataset, "data.workers=1")
    train(settings, tmp_path / "whole", echo=quiet)
    steps = load_steps(tmp_path / "whole")

    def kill(_run: Any) -> None:
        for child in multiprocessing.active_children():
            child.kill()
            child.join()

    with (
        fault_at(steps + 1, kill),
        pytest.raises(
            RunError, match="a loader worker was killed at step .*lower data.workers, then go on with: spine"
        ),
    ):
        train(settings, tmp_path / "run", echo=quiet)
    resume(tmp_path / "run", echo=quiet)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def load_steps(out: Path) -> int:
    """Steps of an epoch."""
    state = torch.load(out / "checkpoints" / "last.pt", weights_only=True)["trainer"]
    return int(state["iteration"]) // 3


def test_too_little_memory_says_what_to_lower(tiny_dataset: Path, tmp_path: Path) -> None:
    def allocate(_run: Any) -> None:
        torch.empty(1 << 50)  # a petabyte: the allocator refuses

    expected = (
        r"cpu is out of memory at step 2 \(epoch 1\) with batches of 3 slices of 64 x 48 pixels; "
        "lower data.batch_size to 1, with train.accumulate=2 for the same effective batch, or data.size, "
        "or the width of the network, in a new run; data.batch_size=auto finds what fits"
    )
    with fault_at(2, allocate), pytest.raises(RunError, match=expected):
        train(config(tiny_dataset), tmp_path / "run", echo=quiet)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_vanished_slice_store_is_told(tiny_dataset: Path, tmp_path: Path, workers: int) -> None:
    more = ("data.batch_size=1", "data.foreground_share=0", f"data.workers={workers}")
    settings = config(tiny_dataset, f"data.cache={tmp_path / 'cache'}", *more)

    def remove(run: Any) -> None:
        shutil.rmtree(run.data.store.root)

    with fault_at(1, remove), pytest.raises(SpineIgniteError) as caught:
        train(settings, tmp_path / "run", echo=quiet)
    expected = rf"{tmp_path}/cache/\S+npy cannot be read; run `spine-ignite preprocess` again"
    assert re.fullmatch(expected, str(caught.value)), "a sentence, without a worker's traceback"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_vanished_tensorboard_folder_does_not_stop_a_run(tiny_dataset: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    steps: list[int] = []

    def remove(run: Any) -> None:
        shutil.rmtree(run.directory.tensorboard)
        steps.append(run.data.training.steps_per_epoch)

    with fault_at(6, remove):
        result = train(config(tiny_dataset, "log.tensorboard=true"), tmp_path / "run", echo=lines.append)
    assert (result.epochs, result.exit_code) == (3, 0)
    warnings = [line for line in lines if line.startswith("Warning")]
    folder = tmp_path / "run" / "tensorboard"
    assert sorted(warning.partition(" cannot be written")[0] for warning in warnings) == [
        f"Warning:   TensorBoard's log in {place}" for place in (folder, folder / "pictures")
    ]
    assert all("it goes on in a new file" in warning for warning in warnings)
    kept = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload().Scalars("train/loss")
    assert steps == [5], "the second epoch has begun"
    assert [point.step for point in kept] == [10, 15]


def test_other_errors_keep_their_nature(tiny_dataset: Path, tmp_path: Path) -> None:
    def fail(_run: Any) -> None:
        raise RuntimeError("a mistake of the program")

    with fault_at(2, fail), pytest.raises(RuntimeError, match="a mistake of the program"):
        train(config(tiny_dataset), tmp_path / "run", echo=quiet)


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="no file system here that even root may not write")
def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(RunError, match="/sys/.* cannot be written: no permission; choose another folder"):
        write_text(Path("/sys/spine-ignite/x.txt"), "x")
