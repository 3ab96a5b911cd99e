from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
