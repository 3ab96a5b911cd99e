"""Slices as a network sees them, read from the memory-mapped store in whole batches."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from spine_ignite.batches.augment.random_batch import missing_contrasts
from spine_ignite.batches.sampling import Request
from spine_ignite.config.data import channels_of
from spine_ignite.seeds import derive_seed
from spine_ignite.slices.store import ReaderHold, SliceStore, StoredCase

if TYPE_CHECKING:
    from spine_ignite.batches.phantom_rows import PhantomRows

Batch = dict[str, Tensor]


def _open_cases() -> int:
    """Cases that a dataset keeps mapped: however many there are, half of the process's file handles stay free.

    A case has two files, and there are two datasets: training and validation.
    """
    try:
        import resource
    except ImportError:  # Windows, where 512 files is the least limit
        return 64
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(limit, 4096) // 8) if limit != resource.RLIM_INFINITY else 512


_OPEN_CASES = _open_cases()


class SliceDataset(Dataset[Batch]):
    """Whole slices with their neighbours as channels, brought to one size; items are whole batches.

    Of an exam the channels are those of its first contrast, then those of the next; one that is missing is 0.

    A batch holds ``image`` (float, ``(B, C, H, W)``), ``label`` (uint8, ``(B, H, W)``; 255 counts nowhere) and
    ``labelled`` (bool, ``(B, classes)``): which classes the mask of each row labels. What else brings rows to a batch
    gives all three.

    Args:
        store: the slice store.
        cases: the cases to read.
        context_slices: neighbours on each side; beyond the volume's end the last slice is repeated.
        size: rows and columns.
        crop: whether larger slices are cropped to it; else a batch is as large as its largest slice.
        transform: a TorchIO transform applied to each slice, or None.
        seed: seeds the transform together with the step and the place in the batch.
        phantoms: draws the last rows of some batches, or None.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[StoredCase],
        context_slices: int,
        size: tuple[int, int],
        transform: Any = None,
        seed: int = 0,
        *,
        crop: bool = True,
        phantoms: PhantomRows | None = None,
    ) -> None:
        self.store = store
        self.cases = list(cases)
        self.context = context_slices
        self.size = size
        self.crop = crop
        self.transform = transform
        self.seed = seed
        self.phantoms = phantoms
        self.labelled = labelled_classes(store, self.cases)
        self.starts = np.cumsum([0, *(case.num_slices for case in self.cases)])
        self._maps: OrderedDict[int, tuple[NDArray[Any], NDArray[Any]]] = OrderedDict()
        self._hold: ReaderHold | None = ReaderHold(store)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def foreground(self) -> list[int]:
        """Indices of the slices that contain a structure."""
        pairs = zip(self.starts[:-1], self.cases, strict=True)
        return [int(start) + index for start, case in pairs for index in case.foreground]

    def origin(self, index: int) -> str:
        """Name the case and the slice of an index."""
        number, place = self.locate(index)
        return f"{self.cases[number].name} slice {place}"

    def locate(self, index: int) -> tuple[int, int]:
        """Return the place in ``cases`` of an index's case, and which of its slices it is."""
        number = self._number(index)
        return number, index - int(self.starts[number])

    def whole(self, indices: Sequence[int]) -> tuple[int, int]:
        """Return the least rows and columns that hold these slices whole, and at least ``size``."""
        sizes = [self.size, *{self.cases[self._number(index)].size for index in indices}]
        return max(rows for rows, _ in sizes), max(columns for _, columns in sizes)

    def __getitem__(self, request: Request) -> Batch:
        count = len(request.indices)
        rows = range(count) if request.rows is None else request.rows
        indices = [request.indices[row] for row in rows]
        size = self.size if self.crop else self.whole(request.indices)
        image = torch.empty((len(rows), channels_of(self.store.settings.contrasts, self.context), *size))
        label = torch.empty((len(rows), *size), dtype=torch.uint8)
        labelled = self.labelled[[self._number(index) for index in indices]]
        real = count - (self.phantoms.rows(request.step) if self.phantoms is not None else 0)
        for place, (row, index) in enumerate(zip(rows, indices, strict=True)):
            if row < real:
                self._read(index, image[place].numpy(), label[place].numpy())
        if self.phantoms is not None:
            self.phantoms.fill(request.step, image, label, rows)
            labelled[[row >= real for row in rows]] = self.phantoms.labelled
        if self.transform is not None:
            for place, row in enumerate(rows):
                self._augment(image[place], label[place], derive_seed(self.seed, 3, request.step, row))
        return {"image": image, "label": label, "labelled": labelled}

    def _read(self, index: int, image: NDArray[np.float32], label: NDArray[np.uint8]) -> None:
        number, middle = self.locate(index)
        images, labels = self._open(number)
        first, last = max(middle - self.context, 0), min(middle + self.context, len(images) - 1)
        # torch turns half into single precision some twenty times faster than numpy does.
        sources = torch.from_numpy(images[first : last + 1]).float().numpy()
        sources = sources.reshape(len(sources), -1, *sources.shape[-2:])
        offsets = range(-self.context, self.context + 1)
        for channel, (contrast, offset) in enumerate(product(range(sources.shape[1]), offsets)):
            near = min(max(middle + offset, first), last) - first
            place_centred(sources[near, contrast], image[channel], fill=None)
        place_centred(labels[middle], label, fill=0)
        _release(images)
        _release(labels)

    def _number(self, index: int) -> int:
        return int(np.searchsorted(self.starts, index, side="right")) - 1

    def _augment(self, image: Tensor, label: Tensor, seed: int) -> None:
        from spine_ignite.batches.augment.torchio_transforms import apply_torchio

        missing = missing_contrasts(image[None], max(1, len(self.store.settings.contrasts)))[0]
        changed = apply_torchio(self.transform, image[..., None], label[None, ..., None], seed)
        image[...], label[...] = changed[0][..., 0], changed[1][0, ..., 0]
        if self.store.settings.contrasts:
            image.unflatten(0, (len(missing), -1))[missing] = 0

    def _open(self, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        if number in self._maps:
            self._maps.move_to_end(number)
            return self._maps[number]
        case = self.cases[number]
        self._maps[number] = (self.store.image(case), self.store.label(case))
        if len(self._maps) > _OPEN_CASES:
            self._maps.popitem(last=False)
        return self._maps[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": OrderedDict(), "_hold": None}


def labelled_classes(store: SliceStore, cases: Sequence[StoredCase]) -> Tensor:
    """Return for each case which classes its mask labels, bool ``(cases, classes)``; the background always."""
    labelled = torch.ones((len(cases), store.scheme.num_classes), dtype=torch.bool)
    for row, case in zip(labelled, cases, strict=True):
        if case.labelled is not None:
            row[:] = False
            row[[0, *case.labelled]] = True
    return labelled


def _release(array: NDArray[Any]) -> None:
    """Give the pages of a mapped array back to the system, which keeps them in its cache.

    Otherwise a process would hold every case that it has read, and its resident memory would grow with the cases.
    """
    mapping: Any = array.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Windows lacks it
        mapping.madvise(mmap.MADV_DONTNEED)


def place_centred(source: NDArray[Any], target: NDArray[Any], fill: float | None) -> None:
    """Copy a plane into another of any size, centre on centre; what is too much is cropped, what is missing filled.

    Args:
        source: ``(h, w)``.
        target: ``(H, W)``, overwritten.
        fill: value of the margin; None takes the source's minimum.
    """
    if source.shape == target.shape:
        target[...] = source
        return
    here, there = zip(
        *(overlap(have, want) for have, want in zip(source.shape, target.shape, strict=True)), strict=True
    )
    if any(have < want for have, want in zip(source.shape, target.shape, strict=True)):
        target[...] = source.min() if fill is None else fill
    target[there] = source[here]


def overlap(have: int, want: int) -> tuple[slice, slice]:
    """Return where the centred overlap of two lengths lies in the first and in the second."""
    length = min(have, want)
    start, put = (have - length) // 2, (want - length) // 2
    return slice(start, start + length), slice(put, put + length)
