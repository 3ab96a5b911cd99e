"""Which axes of a network's weights follow its classes and its input channels: found by building it with more of each.

So it is known for every architecture, whoever wrote it, and nothing has to be declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spine_ignite.runs.description import Description
from spine_ignite.runs.weights import build_unfilled

_MORE_CHANNELS = 2  # a neighbouring slice on each side


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a weight.

    Args:
        size: in the network as it is.
        by_class: how much it grows with each class.
        by_channel: how much it grows with each input channel.
    """

    size: int
    by_class: int = 0
    by_channel: float = 0

    def is_of_classes(self, count: int) -> bool:
        """Whether it has equally many places for each of ``count`` classes, and nothing else."""
        return self.by_class > 0 and self.by_channel == 0 and self.size == count * self.by_class

    def is_of_channels(self, count: int) -> bool:
        """Whether it has equally many places for each of ``count`` input channels, and nothing else."""
        return self.by_channel > 0 and self.by_class == 0 and self.size == count * self.by_channel


Axes = tuple[Axis, ...]


def axes_of(description: Description, path: Path) -> dict[str, Axes]:
    """Return the axes of every weight and buffer of a network, by name.

    Args:
        description: which network.
        path: whose it is, for messages.

    Raises:
        RunError: the network cannot be built.
    """
    plain = _shapes(build_unfilled(description, path))
    wider = _shapes(build_unfilled(description, path, num_classes=description.scheme.num_classes + 1))
    deeper = _shapes(build_unfilled(description, path, in_channels=description.in_channels + _MORE_CHANNELS))
    found = {}
    for name, shape in plain.items():
        others = [other.get(name, shape) for other in (wider, deeper)]
        one, two = (other if len(other) == len(shape) else shape for other in others)
        found[name] = tuple(
            Axis(size, more - size, (further - size) / _MORE_CHANNELS)
            for size, more, further in zip(shape, one, two, strict=True)
        )
    return found


def head_of(axes: Mapping[str, Axes]) -> frozenset[str]:
    """Return the names of the weights that give the classes, those of auxiliary logits too."""
    return frozenset(name for name, of in axes.items() if any(axis.by_class for axis in of))


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    state: dict[str, Any] = network.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
