"""The overfit check: a network that cannot learn a few batches by heart will learn nothing else either.

It trains on the first batches of a run, always the same and as they are, and is validated on the very same ones. What
fails here is the network, the loss, the labels or the learning rate, and not the amount or the variety of data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from torch import Tensor

from spine_ignite.batches.loaders import TrainingLoader
from spine_ignite.config import RunConfig
from spine_ignite.errors import DataError
from spine_ignite.labels import IGNORE

Batch = dict[str, Tensor]

# Best validation Dice from which on the batches count as learnt.
LEARNT = 0.95

# An epoch goes over the batches again and again for at least so many steps, lest validation take most of the time.
_LEAST_STEPS = 20


class FixedBatches:
    """A :class:`TrainingLoader` that repeats a few batches, in order and held in memory.

    Args:
        source: the loader that the batches are taken from.
        count: how many to take; fewer if an epoch of the source has fewer.
        steps_per_epoch: steps of an epoch; default: whole passes, at least 20 steps.

    Raises:
        DataError: none of the batches holds a structure, so that there is nothing to learn.
    """

    def __init__(self, source: TrainingLoader, count: int, steps_per_epoch: int | None = None) -> None:
        source.start_at(0)
        self.batches: list[Batch] = list(islice(source.loader, count))
        if not any(bool(((batch["label"] > 0) & (batch["label"] != IGNORE)).any()) for batch in self.batches):
            raise DataError(
                f"the first {len(self.batches)} training batches are background only, which any network can learn; "
                "raise train.overfit_batches or data.foreground_share"
            )
        self.steps_per_epoch = steps_per_epoch or -(-_LEAST_STEPS // len(self.batches)) * len(self.batches)
        self._origins = [source.origins(step) for step in range(len(self.batches))]
        self._step = 0

    @property
    def loader(self) -> Iterable[Batch]:
        """Batches of the rest of the current epoch."""
        return self

    def start_at(self, step: int) -> None:
        """Let the next iteration begin at this step of training and end with its epoch."""
        self._step = step

    def origins(self, step: int) -> list[str]:
        """Say which slices a step's batch is made of."""
        return self._origins[step % len(self.batches)]

    def __len__(self) -> int:
        return self.steps_per_epoch - self._step % self.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        end = (self._step // self.steps_per_epoch + 1) * self.steps_per_epoch
        for step in range(self._step, end):
            yield self.batches[step % len(self.batches)]
        self._step = end


def without_variety(config: RunConfig) -> RunConfig:
    """Return the configuration of an overfit check: no augmentation, no early stopping; others stay as they are."""
    if not config.train.overfit_batches:
        return config
    augment = config.augment.model_copy(update={"enabled": False})
    train = config.train.model_copy(update={"patience": None})
    return config.model_copy(update={"augment": augment, "train": train})


def verdict(batches: int, dice: float) -> str:
    """Say whether the batches have been learnt, and what to do if not."""
    what = "1 batch" if batches == 1 else f"{batches} batches"
    if dice >= LEARNT:
        return f"Overfit check passed: the network can learn {what}: Dice {dice:.2f}"
    return (
        f"Overfit check failed: Dice {dice:.2f} after training on {what} and nothing else; train longer, try the rate "
        "that spine-ignite find-lr suggests, and check the masks (spine-ignite check), the loss and the network"
    )
