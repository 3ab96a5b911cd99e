"""The networks that predict: which runs they come from, and how each answers a batch of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spine_ignite.config import AugmentConfig, DataConfig
from spine_ignite.config.sections import PredictConfig
from spine_ignite.errors import UsageError
from spine_ignite.inference.levels.carried import checkpoint_in
from spine_ignite.inference.network_sources import Source
from spine_ignite.inference.options import CHECKPOINTS, InferenceOptions
from spine_ignite.inference.views import View, views_of
from spine_ignite.machine.precision import Precision
from spine_ignite.runs.checkpoints import TrainedNetwork, load_network
from spine_ignite.volumes.digests import file_sha256

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Member:
    """A network and how slices are shown to it.

    Args:
        trained: the network, on its device, and its description.
        views: test-time augmentation; one view is none.
        window: rows and columns of the sliding window, or None for whole slices.
        overlap: of neighbouring windows, a share of the window.
        run: the directory of the run that it predicts for, or the file of a network without one; None: the run that its
            checkpoint lies in.
        weights: SHA-256 of the checkpoint that the network was loaded from; by the time that it is asked for, training
            may have replaced the file.
        network: SHA-256 of the checkpoint whose weights, bit for bit, an exported file holds; empty if it does not say.
    """

    trained: TrainedNetwork
    views: tuple[View, ...] = (View(),)
    window: Size | None = None
    overlap: float = 0.5
    run: Path | None = None
    weights: str = ""
    network: str = ""

    def scores(self, batch: Tensor, precision: Precision) -> Tensor:
        """Return logits, or with several views the logarithm of their mean probabilities: softmax of either is right.

        A view counts only for the pixels that it had.

        Args:
            batch: ``(B, channels, H, W)`` on the network's device.
            precision: arithmetic of the forward pass.

        Returns:
            float32 ``(B, classes, H, W)``.
        """
        if len(self.views) == 1:
            return self._logits(self.views[0].show(batch), precision)
        total, weight = torch.zeros(1, device=batch.device), torch.zeros(1, device=batch.device)
        for view in self.views:
            found, seen = view.undo(self._logits(view.show(batch), precision).softmax(1))
            total, weight = found.mul_(seen).add_(total), weight + seen
        return total.div_(weight).clamp_min_(torch.finfo(torch.float32).tiny).log_()

    def record(self) -> dict[str, Any]:
        """Return what determines this member's answers, for the record; the weights by their SHA-256."""
        path = self.trained.path
        return {
            "run": str(self.run or path.parent.parent),
            "checkpoint": path.name,
            "weights": self.weights or file_sha256(path),
            **({"network": self.network} if self.network else {}),
            "views": [str(view) for view in self.views],
            "window": None if self.window is None else list(self.window),
            "overlap": None if self.window is None else self.overlap,
        }

    def _logits(self, image: Tensor, precision: Precision) -> Tensor:
        def forward(part: Tensor) -> Tensor:
            part = part.contiguous(memory_format=torch.channels_last)
            with precision.autocast():
                logits: Tensor = self.trained.network(part)
            return logits.float()

        size = image.shape[-2:]
        if self.window is None or all(have <= want for have, want in zip(size, self.window, strict=True)):
            return forward(image)
        from monai.inferers import sliding_window_inference

        window = [min(have, want) for have, want in zip(size, self.window, strict=True)]
        stitched: Tensor = sliding_window_inference(
            image, window, len(image), forward, overlap=self.overlap, mode="gaussian"
        )
        return stitched


def load_members(sources: Sequence[Source], options: InferenceOptions, device: torch.device) -> list[Member]:
    """Load the networks of runs and files, each with the views and the window that its training and the options give.

    Raises:
        UsageError: a checkpoint is given by its file, but there are several runs, or none.
        RunError: a checkpoint cannot be used.
    """
    files = [name for name in options.checkpoints if name not in CHECKPOINTS]
    if files and len(sources) > 1:
        raise UsageError(
            f"the file {files[0]} is the checkpoint of one run; with {len(sources)} runs give best or last"
        )
    members = []
    for source in sources:
        for name in options.checkpoints:
            loaded = load_unchanged(source.checkpoint(name), device)
            loaded.trained.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            members.append(_member(loaded, source, options))
    return members


def window_of(predict: PredictConfig, data: DataConfig) -> Size | None:
    """Return the sliding window that a run asks for: the configured one, else the patch that it was trained on."""
    window = predict.window
    if window is None:
        return data.patch.size if data.sampling == "patches" else None
    return None if window == "whole" else window


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, and what is known of the very file that it came from.

    Args:
        trained: the network.
        weights: SHA-256 of the file.
        network: that of the checkpoint whose weights, bit for bit, the file holds; empty if it does not say.
    """

    trained: TrainedNetwork
    weights: str
    network: str


def load_unchanged(path: Path, device: torch.device | str = "cpu") -> Loaded:
    """Load a network from a file that training may replace at any moment.

    Raises:
        RunError: the file cannot be used.
    """
    while True:
        before = file_sha256(path) if path.is_file() else ""  # what is missing is told by the loader
        found = Loaded(load_network(path, device), before, checkpoint_in(path))
        if file_sha256(path) == before:
            return found


def _views(trained: TrainedNetwork, augment: AugmentConfig) -> tuple[View, ...]:
    description = trained.description
    return views_of(augment, description.context_slices, max(1, len(description.contrasts)))


def _member(loaded: Loaded, source: Source, options: InferenceOptions) -> Member:
    config, trained = source.config, loaded.trained
    tta = config.predict.tta if options.tta is None else options.tta
    asked = None if options.window == "whole" else options.window
    return Member(
        trained,
        _views(trained, config.augment) if tta else (View(),),
        window_of(config.predict, config.data) if options.window is None else asked,
        config.predict.overlap if options.overlap is None else options.overlap,
        source.root,
        loaded.weights,
        loaded.network,
    )
