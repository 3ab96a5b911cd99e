"""Which items a training step sees: a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from spine_ignite.machine.share import WHOLE, Share


@dataclass(frozen=True, slots=True)
class Request:
    """What a loader asks a dataset for: a step, the indices of its batch, and the rows of it that are wanted.

    Args:
        step: of training.
        indices: of all rows.
        rows: those that are wanted; None: all.
    """

    step: int
    indices: list[int]
    rows: range | None = None


class TrainingStream(Sampler[Request]):
    """Batches of indices from an endless stream, from any step on.

    The stream is one seeded permutation of all items after another, so that each pass holds every item once. A batch
    depends on the seed and its step only, which is why a resumed run sees what an uninterrupted one would have seen.

    Where a batch holds fewer than ``ceil(foreground_share * batch_size)`` foreground items, the missing ones come from
    such a stream of the foreground items and take the place of the batch's first other items. What gives way is not
    seen in this pass; which items these are differs from pass to pass.

    Args:
        num_items: number of items.
        batch_size: items in a batch.
        steps_per_epoch: batches that one iteration yields at most.
        seed: the run's seed.
        foreground: indices of the items that contain a structure.
        foreground_share: least share of such items in a batch.
        share: the rows of each batch that are asked for; which items these are does not depend on it.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        foreground: Sequence[int] = (),
        foreground_share: float = 0.0,
        share: Share = WHOLE,
    ) -> None:
        self.share = share
        self.num_items = num_items
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.seed = seed
        self.foreground = np.asarray(foreground, np.int64)
        # Looked up, since a search among all of them for each batch would make an epoch quadratic in the cases.
        self._is_foreground = np.zeros(num_items, bool)
        self._is_foreground[self.foreground] = True
        self.reserved = int(np.ceil(foreground_share * batch_size)) if len(foreground) else 0
        self._step = 0
        self._permutation = lru_cache(maxsize=4)(self._draw)

    def start_at(self, step: int) -> None:
        """Let the next iteration begin at this step and end with its epoch; the one after it goes on from there."""
        self._step = step

    def __iter__(self) -> Iterator[Request]:
        end = (self._step // self.steps_per_epoch + 1) * self.steps_per_epoch
        for step in range(self._step, end):
            yield Request(step, self.batch(step), self.share.read(self.batch_size))
        self._step = end

    def __len__(self) -> int:
        return self.steps_per_epoch - self._step % self.steps_per_epoch

    def batch(self, step: int) -> list[int]:
        """Return the indices of one step's batch."""
        indices = self._take(0, self.num_items, step * self.batch_size, self.batch_size)
        if self.reserved:
            others = np.flatnonzero(~self._is_foreground[indices])
            missing = self.reserved - (len(indices) - len(others))
            if missing > 0:
                places = self._take(1, len(self.foreground), step * self.reserved, missing)
                indices[others[:missing]] = self.foreground[places]
        return [int(index) for index in indices]

    def _take(self, stream: int, size: int, start: int, count: int) -> NDArray[np.int64]:
        positions = np.arange(start, start + count)
        return np.array([self._permutation(stream, size, int(p // size))[p % size] for p in positions], np.int64)

    def _draw(self, stream: int, size: int, number: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, stream, number)).permutation(size)
