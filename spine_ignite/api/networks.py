"""Trained networks as modules of PyTorch."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from spine_ignite.errors import UsageError
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.runs.checkpoints import TrainedNetwork, load_network


def load(run: str | PathLike[str], checkpoint: str = "best", *, device: str = "cpu") -> TrainedNetwork:
    """Load the network of a run, an exported file, or a network that a plugin published (``load("ready")``).

    Args:
        run: a run directory, a file of ``spine-ignite export``, or a published name.
        checkpoint: of a run, ``best``, ``last`` or a file.
        device: where it is wanted.

    Returns:
        ``network``, a module in evaluation mode that maps ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)``,
        and its ``description``: label scheme, spacing in mm, input channels, what it was trained on.

    Raises:
        UsageError: these are several networks.
        RunError: there is nothing of this name, or it cannot be used.
    """
    sources = find_sources(Path(run))
    if len(sources) > 1:
        raise UsageError(f"{run} holds {len(sources)} runs; load one of them, such as {sources[0].root}")
    return load_network(sources[0].checkpoint(checkpoint), device)
