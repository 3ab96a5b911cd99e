"""A network that starts from another one's weights, and what is told and recorded of that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from spine_ignite.errors import RunError
from spine_ignite.names import counted, printable
from spine_ignite.runs.description import Description
from spine_ignite.runs.starting_point import StartingPoint
from spine_ignite.runs.transfer import Transfer, transfer
from spine_ignite.runs.weights import load_weights

_SHOWN = 6  # names in a line


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run's weights are from.

    Args:
        point: the trained network.
        taken: what of it fits.
    """

    point: StartingPoint
    taken: Transfer

    def lines(self) -> list[str]:
        """Return what is said when the run begins."""
        point, taken = self.point, self.taken
        images = counted(len(point.images), "image") if point.images else "no image"
        lines = [
            f"Start:     {100 * taken.share:.1f} % of the weights are those of {printable(str(point.path))} "
            f"({point.description.model}, trained on {images})"
        ]
        if taken.by_class:
            lines.append(f"           classes known there: {_some(taken.known[1:])}; new: {_some(taken.new)}")
        if taken.by_channel:
            channels = counted(point.description.in_channels, "input channel")
            lines.append(f"           it has {channels}; fitted: {_some(taken.by_channel)}")
        if taken.left:
            lines.append(f"           not taken: {_some([f'{name}, {why}' for name, why in taken.left.items()], '; ')}")
        return lines

    def to_json(self) -> str:
        """Return the record of a run, its ``start.json``."""
        point, taken = self.point, self.taken
        record = {
            "format": 1,
            **point.config.model_dump(),
            "file": str(point.path),
            "model": point.description.model,
            "plugin": None if point.description.plugin is None else str(point.description.plugin),
            "scheme": point.description.scheme.name,
            "images": len(point.images),
            "share": round(taken.share, 6),
            "classes": {"known": taken.known, "new": taken.new, "unused": taken.unused},
            "by_class": taken.by_class,
            "by_channel": taken.by_channel,
            "left": taken.left,
        }
        return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def warm_start(network: nn.Module, description: Description, point: StartingPoint, root: Path) -> Start:
    """Give a network the weights of another one, as far as they fit; see :func:`.transfer.transfer`.

    Args:
        network: as it was built.
        description: of it.
        point: the other one.
        root: its run, for messages.

    Raises:
        RunError: nothing fits.
    """
    own = network.state_dict()
    taken = transfer(point.weights, point.description, point.path, own, description, root)
    if not taken.share:
        raise RunError(
            f"nothing of {point.path} ({point.description.model}) fits the run's {description.model}: no weight has "
            "the same name and size; give model the options of that network, or leave train.start_from out"
        )
    load_weights(network, taken.weights, point.path)
    return Start(point, taken)


def frozen_as_drawn(network: nn.Module, start: Start) -> list[str]:
    """Say what train.freeze keeps although it was not taken from the other network; no sentence if there is nothing."""
    taken = start.taken
    rows = {*taken.by_class} if taken.new else set()
    names = [n for n, p in network.named_parameters() if not p.requires_grad and (n in taken.left or n in rows)]
    if not names:
        return []
    return [
        f"train.freeze keeps what train.start_from does not give, as it was drawn at random: {_some(names)}; "
        "freeze less, or give model the options of that network"
    ]


def _some(names: Sequence[str], separator: str = ", ") -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (separator.join(printable(name) for name in names[:_SHOWN]) or "none") + more
