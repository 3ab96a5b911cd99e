"""Nothing that belongs to the whole process is changed by what is called from Python."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

import spine_ignite
from spine_ignite.errors import SpineIgniteError
from spine_ignite.machine.left_as_found import _OF_PROCESS, left_as_found

Writer = Callable[..., Path]


def snapshot() -> dict[str, Any]:
    """Everything of the process that somebody else may rely on."""
    loggers = {name: item for name, item in logging.root.manager.loggerDict.items() if isinstance(item, logging.Logger)}
    return {
        "threads": torch.get_num_threads(),
        "cudnn": [getattr(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "sharing": torch.multiprocessing.get_sharing_strategy(),
        "start": multiprocessing.get_start_method(allow_none=True),
        "warnings": list(warnings.filters),
        "ignite": {n: (i.level, list(i.handlers)) for n, i in loggers.items() if n.startswith("ignite") and i.level},
        "mine": [(loggers[n].level, list(loggers[n].handlers), loggers[n].propagate) for n in ("mine", "ignite.mine")],
        "root": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "environment": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "backend": matplotlib.get_backend(auto_select=False),
        "rc": {name: dict.__getitem__(matplotlib.rcParams, name) for name in dict.keys(matplotlib.rcParams)},
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "errors": np.geterr(),
        "folder": os.getcwd(),
        "gc": gc.isenabled(),
    }


@pytest.fixture
def as_before() -> Iterator[Callable[[], None]]:
    """Settings that are not the usual ones, and a function that checks that they are still there."""
    for name in ("mine", "ignite.mine"):
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(logging.NullHandler())
    undo = [save() for save in _OF_PROCESS]
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("high")
    warnings.filterwarnings("ignore", message="of mine")
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    before = snapshot()

    def check() -> None:
        after = snapshot()
        changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
        assert set(changed) == set(), str(changed)[:2000]

    yield check
    for restore in undo:
        restore()


def config(root: Path, **more: Any) -> dict[str, Any]:
    return {
        "data": {"root": str(root), "scheme": "lumbar-vertebrae", "workers": 1, "batch_size": 2},
        "model": {"width": 4, "depth": 2},
        "train": {"epochs": 1, "steps_per_epoch": 2},
        "device": "cpu",
        "threads": 2,
        **more,
    }


def quiet(_line: str) -> None:
    pass


def test_training_resuming_predicting_and_judging_leave_everything_as_it_was(
    tiny_dataset: Path, tmp_path: Path, as_before: Callable[[], None]
) -> None:
    run = tmp_path / "run"
    threads = []

    def note(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        trainer.add_event_handler(Events.STARTED, lambda: threads.append(torch.get_num_threads()))

    spine_ignite.train(config(tiny_dataset), run, echo=None, handlers=note)
    assert threads == [2]
    as_before()
    spine_ignite.resume(run, {"train.epochs": 2}, echo=quiet)
    as_before()
    spine_ignite.predict(run, tiny_dataset / "test" / "source" / "Case5.nii.gz", device="cpu")
    as_before()
    spine_ignite.evaluate(run, echo=quiet, device="cpu")
    as_before()
    with pytest.raises(SpineIgniteError, match="the loss did not come down"):
        spine_ignite.find_learning_rate(
            config(tiny_dataset), overrides="data.workers=0", start=1e-9, end=1e-8, steps=10, echo=quiet
        )
    as_before()


def test_so_does_what_fails_at_any_place(tiny_dataset: Path, tmp_path: Path, as_before: Callable[[], None]) -> None:
    def spoil(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        @trainer.on(Events.ITERATION_COMPLETED)
        def _() -> None:
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            torch.set_default_dtype(torch.float64)
            torch.use_deterministic_algorithms(True)
            torch.set_grad_enabled(False)
            warnings.simplefilter("error")
            logging.disable(logging.CRITICAL)
            logging.getLogger("mine").handlers.clear()
            logging.getLogger().setLevel(1)
            os.environ["SPOILT"] = "1"
            os.chdir(tmp_path)
            np.seterr(all="raise")
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            gc.disable()
            raise ValueError("spoilt")

    with pytest.raises(Exception, match="spoilt"):
        spine_ignite.train(config(tiny_dataset), tmp_path / "run", echo=quiet, handlers=[spoil])
    as_before()
    with pytest.raises(SpineIgniteError):
        spine_ignite.train(config(tmp_path / "no"), tmp_path / "other", echo=quiet)
    as_before()


def test_it_works_in_a_thread_of_a_running_loop(
    tiny_dataset: Path, tmp_path: Path, as_before: Callable[[], None]
) -> None:
    """As a notebook has it; only the main thread may catch signals."""

    spine_ignite.open_dataset(tiny_dataset, scheme="lumbar-vertebrae")  # one at a time builds the slices

    async def both() -> list[Any]:
        return await asyncio.gather(
            *(
                asyncio.to_thread(spine_ignite.train, config(tiny_dataset), tmp_path / name, echo=quiet)
                for name in ("one", "two")
            )
        )

    results = asyncio.run(both())
    assert [result.epochs for result in results] == [1, 1]
    as_before()
    done: list[Any] = []
    thread = threading.Thread(
        target=lambda: done.append(spine_ignite.resume(tmp_path / "one", "train.epochs=2", echo=quiet))
    )
    thread.start()
    thread.join()
    assert done[0].epochs == 2
    as_before()


def test_blocks_that_overlap_restore_what_the_first_found() -> None:
    before = random.getstate()
    inside, end = threading.Event(), threading.Event()

    def other() -> None:
        with left_as_found():
            inside.set()
            end.wait()

    thread = threading.Thread(target=other)
    with left_as_found():
        random.seed(1)
        with left_as_found():
            changed = random.getstate()
            random.seed(2)
        assert random.getstate() == changed
        thread.start()
        inside.wait()
    assert random.getstate() == changed  # the other still runs
    end.set()
    thread.join()
    assert random.getstate() == before


def test_the_start_method_of_processes_is_still_the_users_to_choose(tiny_dataset: Path, tmp_path: Path) -> None:
    """Nothing else can tell it in a process whose method is settled, as that of the tests may be."""
    code = (
        "import multiprocessing, spine_ignite, signal, logging\n"
        f"spine_ignite.train({config(tiny_dataset)!r}, {str(tmp_path / 'run')!r}, echo=lambda line: None)\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None\n"
        "multiprocessing.set_start_method('spawn')\n"
        "assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL\n"
        "levels = {n: l.level for n, l in logging.root.manager.loggerDict.items() if getattr(l, 'level', 0)}\n"
        "assert not [name for name in levels if name.startswith('ignite')], levels\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
