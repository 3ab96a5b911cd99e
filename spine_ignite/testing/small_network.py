"""A network for tests of what is not an architecture: two convolutions, so that no plugin has to be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

from torch import nn

from spine_ignite.hookspecs import ENTRY_POINT_GROUP, RegisterModel, hookimpl
from spine_ignite.registry import Distribution, load_registry
from spine_ignite.spec import ModelSpec, Paper
from spine_ignite.version import __version__

NAME = "small_network_of_tests"


class SmallNetwork(nn.Sequential):
    """Maps ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, num_classes, 5, padding=2))


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register it."""
    paper = Paper("None", "spine-ignite", "none", 2026, "https://github.com/spine-ignite/spine-ignite", "none")
    register(ModelSpec(NAME, f"{__name__}:SmallNetwork", "Two convolutions, for tests", paper))


@contextmanager
def small_network() -> Iterator[str]:
    """Give the name under which the network can be trained in the block, beside all that is installed."""
    registry = load_registry()
    point = EntryPoint("small_network", __name__, ENTRY_POINT_GROUP)
    registry.load(point, Distribution("spine-ignite-testing", __version__))
    try:
        yield NAME
    finally:
        load_registry.cache_clear()
