from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spine_ignite.config import load_config
from spine_ignite.errors import RunError
from spine_ignite.training.run import train

Install = Callable[..., Path]


class Fails:
    def __init__(self, run: Any, echo: Any) -> None:
        pass

    def attach(self, trainer: Any) -> None:
        raise LookupError("no such event")


class Nothing:
    def __init__(self, run: Any, echo: Any) -> None:
        raise ValueError("no password")


def none(run: Any, echo: Any) -> None:
    """Give no tracker."""


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (f"{__name__}:Fails", "tracker 'mine' of acme 1.0 failed to attach: LookupError: no such event"),
        (f"{__name__}:Nothing", "tracker 'mine' of acme 1.0 failed: ValueError: no password"),
        (f"{__name__}:none", r"tracker 'mine' of acme 1.0 must give an object with attach\(trainer\), and gives a Non"),
    ],
)
def test_a_tracker_that_fails_is_told_before_anything_is_written(
    install: Install, tiny_dataset: Path, tmp_path: Path, target: str, message: str
) -> None:
    install("acme", register_trackers=[f"Component('mine', '{target}', 'a tracker')"])
    keys = ("data.scheme=lumbar-vertebrae", "model.width=4", "model.depth=2", "log.trackers=[mine]", "threads=1")
    with pytest.raises(RunError, match=message):
        train(load_config(None, [f"data.root={tiny_dataset}", *keys]), tmp_path / "run", echo=lambda _line: None)
    assert not (tmp_path / "run").exists()


class Closed:
    closed: ClassVar[list[str]] = []

    def __init__(self, run: Any, echo: Any) -> None:
        self.path = run.directory.root

    def attach(self, trainer: Any) -> None:
        self.closed.clear()

    def close(self) -> None:
        self.closed.append(self.path.name)


def test_trackers_are_closed_and_those_of_the_core_are_there_once(
    install: Install, tiny_dataset: Path, tmp_path: Path
) -> None:
    install("acme", register_trackers=[f"Component('mine', '{__name__}:Closed', 'a tracker')"])
    keys = ("data.scheme=lumbar-vertebrae", "model.width=4", "model.depth=2", "train.epochs=1", "threads=1")
    said: list[str] = []
    wanted = ("log.tensorboard=false", "log.trackers=[mine,console,tensorboard]")
    train(load_config(None, [f"data.root={tiny_dataset}", *keys, *wanted]), tmp_path / "run", echo=said.append)
    assert Closed.closed == ["run"]
    assert len([line for line in said if line.startswith("Epoch 1/1")]) == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    assert any((tmp_path / "run" / "tensorboard").glob("events.*")), "it is named, though the key says no"
