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
_ROUNDING = 1e-6  # of the largest value of a batch: as far as orders of adding up may lie apart within a network
_DRAWS = 8
_MARGIN = (77, 71)  # rows and columns of the second size beyond the first: no multiples, and more than a stride of 64


class RoundingError(RunError):
    """What is exported gives other logits, and so does the network itself when its input changes by rounding."""


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
        RoundingError: it is above, and no file in which the order of adding up is another could be below.
        RunError: it is above, or the logits are not finite; the message says that ``out`` is not written.
    """
    expected, found = network(batch), other(batch)
    if not expected.isfinite().all():
        raise RunError(f"{out} is not written: the logits of the checkpoint's network are not finite")
    difference = float((found - expected).abs().max())
    allowed = tolerance * float(expected.abs().max())
    if difference <= allowed:
        return difference
    found_out = f"{out} is not written: what it would hold gives other logits, by up to {difference:g}"
    own = _change_by_rounding(network, batch, expected)
    if own > allowed:
        raise RoundingError(
            f"{found_out}; so does the network itself, by up to {own:g}, where its input changes by a millionth: it "
            "hangs on rounding, as one does that puts values back where maxima were; use --format safetensors"
        )
    raise RunError(found_out)


def _change_by_rounding(network: nn.Module, batch: Tensor, expected: Tensor) -> float:
    """Return the largest change of a logit when a batch changes as if by rounding, in several ways."""
    generator = torch.Generator().manual_seed(0)
    step = _ROUNDING * float(batch.abs().max())
    changed = (batch + step * torch.randn(batch.shape, generator=generator) for _ in range(_DRAWS))
    return max(float((network(other) - expected).abs().max()) for other in changed)


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
