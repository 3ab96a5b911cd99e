"""A cross-validation of the tiny dataset that tests read, and what they make of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite.config import RunConfig, load_config
from spine_ignite.crossval.cross_validate import CrossValidation, cross_validate

SETTINGS = (
    "data.scheme=lumbar-vertebrae",
    "data.spacing=[1,1]",
    "data.size=[64,64]",
    "data.folds=2",
    "data.batch_size=4",
    "model.width=4",
    "model.depth=2",
    "train.epochs=2",
    "device=cpu",
    "log.tensorboard=false",
    "augment.enabled=false",
)
Configure = Callable[..., RunConfig]


@pytest.fixture
def configure(tiny_dataset: Path) -> Configure:
    """``configure("train.epochs=3", …)`` is the configuration of a small cross-validation of the tiny dataset."""
    return lambda *overrides, **given: load_config(
        None, [*SETTINGS, *overrides], given={"data.root": tiny_dataset, **given}
    )


@pytest.fixture
def validated(configure: Configure, tmp_path: Path) -> CrossValidation:
    """A cross-validation that came to its end."""
    return cross_validate(configure(), tmp_path / "folds", pictures=1, echo=lambda _line: None)
