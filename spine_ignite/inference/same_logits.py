"""An exported network held against the one that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.config import load_config
from spine_ignite.datasets.sources import find_all, sources_of
from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.inference.predictor import slice_batch
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.slices.exam_slices import prepare
from spine_ignite.volumes.contrasts import read_contrasts
from spine_ignite.volumes.volume import reading_of

_COUNT = 3  # slices
_MARGIN = (77, 71)  # rows and columns of the second size beyond the first: no multiples, and more than a stride of 64


@dataclass(frozen=True, slots=True)
class Compared:
    """What of an exported network was compared with the original.

    Attributes:
        batches: shapes ``(B, channels, H, W)`` of the batches.
        difference: the largest of any logit from the original's.
        real: whether the batches are slices of the run's own data; else they are random.
        largest: the largest logit, which a tolerance is a share of.
    """

    batches: tuple[tuple[int, ...], ...]
    difference: float
    real: bool = False
    largest: float = 0.0


@torch.inference_mode()
def compare(network: nn.Module, other: Callable[[Tensor], Tensor], batch: Tensor, tolerance: float, out: Path) -> float:
    """Return the largest difference of logits; refuse one above ``tolerance`` times the largest logit.

    Raises:
        RunError: it is above, or the logits are not finite; the message says that ``out`` is not written.
    """
    expected, found = network(batch), other(batch)
    if not expected.isfinite().all():
        raise RunError(f"{out} is not written: the logits of the checkpoint's network are not finite")
    difference = float((found - expected).abs().max())
    if not difference <= tolerance * float(expected.abs().max()):
        raise RunError(f"{out} is not written: what it would hold gives other logits, by up to {difference:g}")
    return difference


def noise(description: Description) -> Tensor:
    """Return three random slices ``(3, in_channels, H, W)`` of the training size, always the same."""
    shape = (_COUNT, description.in_channels, *description.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def slices_of_run(run: RunDirectory, description: Description) -> Tensor | None:
    """Return the middle slices of one of the run's cases as its network sees them, three at most.

    None where the data of the run are not there any more, or cannot be read.
    """
    try:
        data = load_config(run.config).data
        dataset, _ = find_all(sources_of(data))
        case = next(iter(dataset.cases))
        volume = read_contrasts(case.image, case.images, reading_of(data))
        rules = (description.contrasts, description.spacing, description.clip_percentiles, description.border)
        slices, _ = prepare(volume, *rules)
    except (SpineIgniteError, OSError, StopIteration):
        return None
    count = min(_COUNT, len(slices))
    return slice_batch(slices, (len(slices) - count) // 2, count, description)


def of_another_size(batch: Tensor) -> Tensor:
    """Return the first slice of a batch with a margin, so that H and W are multiples of nothing."""
    return F.pad(batch[:1], (0, _MARGIN[1], 0, _MARGIN[0]), mode="replicate")
