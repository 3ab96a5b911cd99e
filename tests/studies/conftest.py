"""A study of the tiny dataset that tests read, and what they make of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spine_ignite.studies.declaration import read_declaration
from spine_ignite.studies.making import Study, make_study

SETTINGS = {
    "data.scheme": "lumbar-vertebrae",
    "data.spacing": [1, 1],
    "data.size": [64, 64],
    "data.batch_size": 4,
    "train.epochs": 2,
    "threads": 1,
    "precision": "fp32",
    "device": "cpu",
    "log.tensorboard": False,
    "augment.enabled": False,
}
SMALL = {"name": "unet", "set": {"model.width": 4, "model.depth": 2}}
Declare = Callable[..., Path]


@pytest.fixture
def declare(tiny_dataset: Path, tmp_path: Path) -> Declare:
    """``declare(models=[…], set={"train.epochs": 3})`` writes the file of a study and returns its path."""

    def write(**changes: Any) -> Path:
        changed = {**SETTINGS, **changes.pop("set", {})}
        data = {"data": str(tiny_dataset), "folds": 2, "models": [SMALL], **changes, "set": changed}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    return write


@pytest.fixture
def make(declare: Declare, tmp_path: Path) -> Callable[..., Study]:
    """``make(models=[…], …)`` makes that study in ``tmp_path/tiny``."""
    return lambda **changes: make_study(read_declaration(declare(**changes)), tmp_path / "tiny")
