"""Patch training on TorchIO's queue and samplers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from spine_ignite.batches.augment.random_batch import missing_contrasts
from spine_ignite.batches.augment.torchio_transforms import apply_torchio
from spine_ignite.batches.slice_dataset import labelled_classes
from spine_ignite.config import DataConfig
from spine_ignite.machine.share import WHOLE, Share
from spine_ignite.seeds import derive_seed
from spine_ignite.slices.store import ReaderHold, SliceStore, StoredCase

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Visit:
    """The ``number``-th time in an epoch that a case is loaded: what its transform's randomness depends on."""

    epoch: int
    number: int
    case: int


class VisitOrder(Sampler[Visit]):
    """All cases in a random order, another one each time an epoch needs a further pass.

    Args:
        cases: number of cases.
        seed: the run's seed.
        epoch: number of the epoch.
    """

    def __init__(self, cases: int, seed: int, epoch: int) -> None:
        self.cases = cases
        self.seed = seed
        self.epoch = epoch
        self._passes = 0

    def __len__(self) -> int:
        return self.cases

    def __iter__(self) -> Iterator[Visit]:
        number = self._passes
        self._passes += 1
        order = np.random.default_rng((self.seed, 5, self.epoch, number)).permutation(self.cases)
        for place, case in enumerate(order):
            yield Visit(self.epoch, number * self.cases + place, int(case))


class CaseSubjects(Dataset[Any]):
    """Cases as TorchIO subjects ``(contrasts, H, W, S)``, read when asked for.

    The neighbours of the outermost slices are repeated and planes smaller than a patch are padded, so that a patch can
    be centred on every slice.

    Args:
        store: the slice store.
        cases: the cases to read.
        context: slices that are repeated at each end.
        patch: least rows and columns.
        transform: a TorchIO transform applied to each volume, or None.
        seed: seeds the transform together with the visit.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[StoredCase],
        context: int,
        patch: tuple[int, int],
        transform: Any = None,
        seed: int = 0,
    ) -> None:
        self.store = store
        self.cases = list(cases)
        self.context = context
        self.patch = patch
        self.transform = transform
        self.seed = seed
        self.labelled = labelled_classes(store, self.cases)
        self._hold: ReaderHold | None = ReaderHold(store)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, visit: Visit) -> Any:
        case = self.cases[visit.case]
        slices = torch.from_numpy(self.store.image(case)).float()
        planes = slices.unbind(1) if self.store.settings.contrasts else (slices,)
        image = torch.cat([self._lay_out(plane, float(plane.min())) for plane in planes])
        label = self._lay_out(torch.from_numpy(np.array(self.store.label(case))), 0)
        if self.transform is not None:
            seed = derive_seed(self.seed, 7, visit.epoch, visit.number)
            missing = missing_contrasts(image[None], len(image))[0]
            image, label = apply_torchio(self.transform, image, label, seed)
            if self.store.settings.contrasts:
                image[missing] = 0
        labelled = self.labelled[visit.case]
        return tio.Subject(image=tio.ScalarImage(tensor=image), label=tio.LabelMap(tensor=label), labelled=labelled)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_hold": None}

    def _lay_out(self, slices: Tensor, fill: float) -> Tensor:
        edges = [slices[:1]] * self.context + [slices] + [slices[-1:]] * self.context
        volume = torch.cat(edges).permute(1, 2, 0)
        missing = [max(0, want - have) for want, have in zip(self.patch, volume.shape[:2], strict=True)]
        rows, columns = missing
        pad = (0, 0, columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return torch.nn.functional.pad(volume, pad, value=fill)[None]


class PatchLoader:
    """Batches of patches; an epoch depends on the seed and its number alone.

    A resumed run that starts within an epoch draws the epoch's earlier patches again and drops them. A process that has
    some rows of each batch draws the patches of all rows, since the queue is one stream, and keeps its own.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[StoredCase],
        data: DataConfig,
        transform: Any = None,
        *,
        seed: int,
        steps_per_epoch: int | None = None,
        share: Share = WHOLE,
    ) -> None:
        self.seed = seed
        self.rows = share.read(data.items_per_batch)
        self.patch = data.patch
        self.batch_size = data.items_per_batch
        self.workers = data.workers
        self.context = data.context_slices
        self.subjects = CaseSubjects(store, cases, data.context_slices, data.patch.size, transform, seed)
        if transform is not None:
            self.subjects[Visit(0, 0, 0)]  # a transform that does not fit is told before anything starts
        depth = 2 * data.context_slices + 1
        size = (*data.patch.size, depth)
        if data.patch.sampler == "label":
            equal = dict.fromkeys(range(store.scheme.num_classes), 1.0)
            self.sampler: Any = tio.LabelSampler(size, "label", equal)
        else:
            self.sampler = tio.UniformSampler(size)
        patches = len(cases) * data.patch.samples_per_volume
        self.steps_per_epoch = steps_per_epoch or max(1, patches // data.items_per_batch)
        self._step = 0

    @property
    def loader(self) -> Iterable[Batch]:
        """The batches of the rest of the current epoch."""
        return self

    def start_at(self, step: int) -> None:
        """Let the next iteration begin at this step of training and end with its epoch."""
        self._step = step

    def origins(self, step: int) -> list[str]:
        """Return nothing: which patches a batch holds is the queue's secret."""
        return []

    def __len__(self) -> int:
        return self.steps_per_epoch - self._step % self.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        epoch, skip = divmod(self._step, self.steps_per_epoch)
        # The queue draws from torch's global generator: it gets a state of its own, kept between batches.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.seed, 4, epoch))
            queue = tio.Queue(
                self.subjects,
                max_length=max(self.patch.queue_length, self.batch_size),
                samples_per_volume=self.patch.samples_per_volume,
                sampler=self.sampler,
                subject_sampler=VisitOrder(len(self.subjects), self.seed, epoch),
                shuffle_subjects=False,
                num_workers=self.workers,
            )
            state = torch.get_rng_state()
        for number in range(self.steps_per_epoch):
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                patches = [queue[0] for _ in range(self.batch_size)]
                state = torch.get_rng_state()
            if number >= skip:
                yield self._collate([patches[row] for row in self.rows])
        self._step = (epoch + 1) * self.steps_per_epoch

    def _collate(self, patches: list[Any]) -> Batch:
        # (contrasts, h, w, slices) -> (channels, h, w); the label is that of the middle slice.
        image = torch.stack([patch["image"].data.permute(0, 3, 1, 2).flatten(0, 1) for patch in patches]).float()
        label = torch.stack([patch["label"].data[0, :, :, self.context] for patch in patches]).to(torch.uint8)
        labelled = torch.stack([patch["labelled"] for patch in patches])
        return {"image": image.contiguous(), "label": label, "labelled": labelled}
