"""Batches for training and validation, from the memory-mapped slice store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader

from spine_ignite.batches.sampling import Request, TrainingStream
from spine_ignite.batches.slice_dataset import Batch, SliceDataset
from spine_ignite.config import AugmentConfig, DataConfig
from spine_ignite.errors import DataError
from spine_ignite.machine.share import WHOLE, Share
from spine_ignite.seeds import derive_seed
from spine_ignite.slices.store import SliceStore, StoredCase


class TrainingLoader(Protocol):
    """What training iterates: one epoch at a time, from any step on."""

    steps_per_epoch: int

    @property
    def loader(self) -> Iterable[Batch]:
        """Batches of the rest of the current epoch."""
        ...

    def start_at(self, step: int) -> None:
        """Let the next iteration begin at this step of training."""
        ...

    def origins(self, step: int) -> list[str]:
        """Say which slices a step's batch is made of (``Case3 slice 7``); empty where that is not known."""
        ...


@dataclass
class SliceLoader:
    """Whole-slice training: a stateless stream of batches through torch's loader."""

    loader: DataLoader[Batch]
    dataset: SliceDataset
    stream: TrainingStream
    steps_per_epoch: int

    def start_at(self, step: int) -> None:
        """Let the next iteration begin at this step of training and end with its epoch."""
        self.stream.start_at(step)

    def origins(self, step: int) -> list[str]:
        """Say which slices a step's batch is made of."""
        origins = [self.dataset.origin(index) for index in self.stream.batch(step)]
        drawn = self.dataset.phantoms.origins(step) if self.dataset.phantoms is not None else []
        return [*origins[: len(origins) - len(drawn)], *drawn]


def select(store: SliceStore, names: Sequence[str]) -> list[StoredCase]:
    """Return the training cases of these names, in the store's order.

    Raises:
        DataError: there is none, or one has no mask.
    """
    wanted = set(names)
    cases = [case for case in store.split("train") if case.name in wanted]
    if not cases:
        raise DataError(f"the slice store {store.root} has no training case; check data.root and data.fraction")
    for case in cases:
        if case.label is None:
            raise DataError(
                f"training case {case.name} has no mask; add one, make it a test case, or leave it out of data.split"
            )
    return cases


def training_size(store: SliceStore, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Return rows and columns of a training slice: ``data.size``, or the largest training slice."""
    if wanted is not None:
        return wanted
    sizes = np.array([case.size for case in store.split("train")])
    if not len(sizes):
        raise DataError(f"the slice store {store.root} has no training case; put cases into the train split")
    return int(sizes[:, 0].max()), int(sizes[:, 1].max())


def pins_memory(device: str) -> bool:
    """Whether batches for ``device``, as configured, are copied to a GPU."""
    return torch.cuda.is_available() and device not in ("cpu", "mps")


def create_training_loader(
    store: SliceStore,
    names: Sequence[str],
    data: DataConfig,
    augment: AugmentConfig,
    *,
    seed: int,
    steps_per_epoch: int | None = None,
    pin: bool = False,
    share: Share = WHOLE,
) -> TrainingLoader:
    """Return the loader of the cases ``names``, of whole slices or patches as ``data.sampling`` says.

    Args:
        store: the slice store.
        names: of the cases.
        data: the section.
        augment: the section; of it only what is done to single slices is done here.
        seed: the run's.
        steps_per_epoch: default: once through the slices or patches.
        pin: whether batches go to a GPU.
        share: the rows of each batch that this process reads.
    """
    cases = select(store, names)
    transform = None
    if augment.enabled and augment.torchio:
        from spine_ignite.batches.augment.torchio_transforms import resolve_torchio

        transform = resolve_torchio(augment.torchio)
    if data.sampling == "patches":
        from spine_ignite.batches.patches import PatchLoader

        return PatchLoader(store, cases, data, transform, seed=seed, steps_per_epoch=steps_per_epoch, share=share)
    size = training_size(store, data.size)
    dataset = SliceDataset(store, cases, data.context_slices, size, transform, seed)
    steps = steps_per_epoch or max(1, len(dataset) // data.items_per_batch)
    if transform is not None:
        dataset[Request(0, [0])]  # a transform that does not fit is told before anything starts
    if data.phantoms:
        from spine_ignite.batches.phantom_rows import PhantomRows

        dataset.phantoms = PhantomRows(data, store.scheme, store.settings.spacing, steps, seed)
    foreground = (dataset.foreground, data.foreground_share)
    stream = TrainingStream(len(dataset), data.items_per_batch, steps, seed, *foreground, share)
    return SliceLoader(_loader(dataset, stream, data.workers, seed, pin), dataset, stream, steps)


def create_validation_loader(
    store: SliceStore, names: Sequence[str], data: DataConfig, *, seed: int, pin: bool = False, share: Share = WHOLE
) -> DataLoader[Batch]:
    """Return the loader of all slices of the cases ``names``, in order and as they are.

    A slice that is larger than a training slice stays whole, as in prediction. A batch of such slices has fewer of
    them, so that it has no more pixels than a batch of training slices, or one slice.

    Of several processes each has every n-th batch; where there are too few batches, these are of single slices.

    Raises:
        DataError: there are fewer slices than processes.
    """
    size = training_size(store, data.size)
    dataset = SliceDataset(store, select(store, names), data.context_slices, size, crop=False)
    pixels = data.items_per_batch * size[0] * size[1]
    batches: list[list[int]] = []
    for index in range(len(dataset)):
        batch = [*batches[-1], index] if batches else []
        rows, columns = dataset.whole(batch)
        if batch and len(batch) * rows * columns <= pixels:
            batches[-1] = batch
        else:
            batches.append([index])
    if len(dataset) < share.processes:
        raise DataError(
            f"validation has {len(dataset)} slices, too few to share over {share.processes} processes; raise "
            "data.validation, or use fewer processes"
        )
    if len(batches) < share.processes:
        batches = [[index] for index in range(len(dataset))]
    requests = [Request(step, batches[step]) for step in share.rows(len(batches))]
    return _loader(dataset, requests, data.workers, seed, pin)


def _loader(dataset: SliceDataset, sampler: Iterable[Request], workers: int, seed: int, pin: bool) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,  # the dataset builds whole batches, without a copy per slice
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin,
        # The loader draws a seed for its workers each epoch: from here, so that it leaves the global generator alone.
        generator=torch.Generator().manual_seed(derive_seed(seed, 6)),
    )
