"""The plugins of tests/plugin_examples pass the conformance kits of their kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from spine_ignite.testing import (
    CleanupConformance,
    CommandConformance,
    MetricConformance,
    OptimizerConformance,
    ReaderConformance,
    TrackerConformance,
)

EXAMPLES = Path(__file__).parents[1] / "plugin_examples"
INSTALLED = {"TestSpecks": "cleanup_step", "TestSizes": "command", "TestPrecision": "metric", "TestLion": "optimizer"}
INSTALLED |= {"TestNpz": "volume_format", "TestCsv": "tracker"}


@pytest.fixture(autouse=True)
def example(install: Callable[..., Path], request: pytest.FixtureRequest) -> None:
    """Install the plugin that a class is about."""
    name = INSTALLED[request.cls.__name__]
    group = "spine_ignite.commands" if name == "command" else "spine_ignite"
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    install(f"acme-{name.replace('_', '-')}", source, groups=[group])


class TestSpecks(CleanupConformance):
    name = "specks"


class TestSizes(CommandConformance):
    name = "sizes"


class TestPrecision(MetricConformance):
    name = "precision"


class TestLion(OptimizerConformance):
    name = "lion"


class TestNpz(ReaderConformance):
    name = "npz"


class TestCsv(TrackerConformance):
    name = "csv"
    files: ClassVar[tuple[str, ...]] = ("epochs.csv",)
