"""A dataset as torch's own kind: slices as a network sees them, or volumes on their own grids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from spine_ignite.batches.sampling import Request
from spine_ignite.batches.slice_dataset import SliceDataset
from spine_ignite.config import DataConfig, load_config
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.checks import require_valid
from spine_ignite.datasets.sources import find_all, source_of, sources_of
from spine_ignite.errors import DataError, UsageError, suggest
from spine_ignite.slices.build import build_store
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.contrasts import read_contrasts
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.resampling import resampled
from spine_ignite.volumes.volume import Volume, read_geometry, read_label, reading_of

Split = Literal["train", "test"]
KINDS = ("slices", "volumes")


class Sample(NamedTuple):
    """A slice or a volume.

    Args:
        image: float32, of a slice ``(C, H, W)``, normalised; of a volume ``(I, J, K)``, in the values of its file, with
            ``contrasts`` ``(contrasts, I, J, K)``, all on the grid of the first that is there, 0 where one is missing.
        label: class indices, uint8, ``(H, W)`` or ``(I, J, K)``; 255 is to be ignored.
        name: the case.
        spacing: mm, float64, of a slice (row, column), of a volume along its three axes.
        affine: float64 ``(4, 4)``, to RAS+ mm: of a volume from voxel indices, of a slice from (row, column, 0).
    """

    image: Tensor
    label: Tensor
    name: str
    spacing: Tensor
    affine: Tensor


def open_dataset(
    root: str | PathLike[str], kind: Literal["slices", "volumes"] = "slices", *, split: Split = "train", **data: Any
) -> SampleDataset:
    """Open the cases of a dataset that have a mask, for torch's ``DataLoader`` or by index.

    Args:
        root: the dataset folder, in any layout that can be trained on.
        kind: ``slices``, normalised, at one spacing and of one size, as a network sees them (the slice store is built,
            or brought up to date); ``volumes``, as they are in their files. Volumes differ in shape:
            ``DataLoader(…, batch_size=None)``.
        split: ``train`` or ``test``.
        data: keys of the configuration's section ``data``: ``scheme``, ``spacing``, ``size``, ``context_slices`` …

    Raises:
        UsageError: there is no such kind, split or key.
        DataError: the dataset cannot be used, or no case of the split has a mask.
    """
    for what, value, known in (("kind", kind, KINDS), ("split", split, ("train", "test"))):
        if value not in known:
            raise UsageError(f"there is no {what} '{value}'.{suggest(str(value), known)} Give {' or '.join(known)}")
    config = load_config({"data": {"root": Path(root), **data}}).data
    dataset = _Slices(config, split) if kind == "slices" else _Volumes(config, split)
    if not len(dataset):
        raise DataError(f"{root} has no case for '{split}' that has a mask")
    return dataset


class SampleDataset(Dataset[Sample], ABC):
    """What :func:`open_dataset` gives: ``len()``, and a :class:`Sample` for each index."""

    names: tuple[str, ...]  # of the cases, in their order
    classes: tuple[str, ...]  # names of the classes by index, the background first

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of slices, or of volumes."""

    def __getitem__(self, index: int) -> Sample:
        """Return one of them; negative indices count from the end."""
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of a dataset of {len(self)}")
        return self._sample(index % len(self))

    @abstractmethod
    def _sample(self, index: int) -> Sample: ...


class _Slices(SampleDataset):
    def __init__(self, data: DataConfig, split: Split) -> None:
        store = build_store(data).store
        cases = [case for case in store.split(split) if case.label is not None]
        largest = tuple(max((case.size[axis] for case in cases), default=1) for axis in (0, 1))
        self._slices = SliceDataset(store, cases, data.context_slices, data.size or (largest[0], largest[1]))
        self._reading = reading_of(data)
        self._affines: dict[int, NDArray[np.float64]] = {}
        self.names = tuple(case.name for case in cases)
        self.classes = store.scheme.names

    def __len__(self) -> int:
        return len(self._slices)

    def _sample(self, index: int) -> Sample:
        number, place = self._slices.locate(index)
        case = self._slices.cases[number]
        batch = self._slices[Request(0, [index])]
        if number not in self._affines:
            self._affines[number] = read_geometry(Path(case.image.path), self._reading)[1]
        return Sample(
            batch["image"][0],
            batch["label"][0],
            case.name,
            torch.tensor(case.grid.spacing, dtype=torch.float64),
            torch.from_numpy(slice_affine(self._affines[number], case.grid, place, self._slices.size)),
        )


class _Volumes(SampleDataset):
    def __init__(self, data: DataConfig, split: Split) -> None:
        self._sources = sources_of(data)
        found, problems = find_all(self._sources)
        require_valid(data.root, [problem for problem in problems if problem.split in (split, None)])
        self._cases: list[Case] = [case for case in found.split(split) if case.label is not None]
        self._reading, self._contrasts = reading_of(data), data.contrasts
        self.names = tuple(case.name for case in self._cases)
        self.classes = self._sources[0].mapping.target.names

    def __len__(self) -> int:
        return len(self._cases)

    def _sample(self, index: int) -> Sample:
        case = self._cases[index]
        assert case.label is not None
        image = read_contrasts(case.image, case.images, self._reading)
        label = read_label(case.label, self._reading)
        try:
            indices = source_of(case, self._sources).indices(aligned(label, image))
        except DataError as error:
            raise DataError(f"{case.label}: {error}") from error
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        return Sample(
            torch.from_numpy(np.ascontiguousarray(self._channels(image) if self._contrasts else image.array)),
            torch.from_numpy(indices),
            case.name,
            torch.from_numpy(spacing),
            torch.from_numpy(image.affine.copy()),
        )

    def _channels(self, image: Volume) -> NDArray[np.float32]:
        found = {image.contrast: image.array}
        found |= {name: resampled(other, image).array for name, other in image.others.items()}
        missing = np.zeros_like(image.array)
        return np.stack([found.get(name, missing) for name in self._contrasts]).astype(np.float32, copy=False)


def slice_affine(
    affine: NDArray[np.float64], grid: SliceGrid, number: int, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the affine from (row, column, 0) of a slice to RAS+ mm; the third axis points to the next slice.

    Args:
        affine: of the volume, from voxel indices.
        grid: how its slices were made.
        number: of the slice.
        size: rows and columns that the resampled window was cropped or padded to, centre on centre.
    """
    to_voxel = np.zeros((4, 4))
    to_voxel[3, 3] = 1
    # (slice, row, column) of the native slices, from (row, column, 0) of this one: pixels are areas, not points.
    starts, steps = [float(number)], [1.0]
    for axis, start in enumerate((grid.window[0], grid.window[2])):
        have, want = grid.size[axis], size[axis]
        cut = (have - want) // 2 if have > want else -((want - have) // 2)
        step = grid.window_size[axis] / have
        starts.append(start + (cut + 0.5) * step - 0.5)
        steps.append(step)
    columns = (2, 0, 1)  # where slice, row and column are in the argument
    for native, (axis, flip) in enumerate(zip(grid.axes, grid.flips, strict=True)):
        last = grid.shape[axis] - 1
        to_voxel[axis, columns[native]] = -steps[native] if flip else steps[native]
        to_voxel[axis, 3] = last - starts[native] if flip else starts[native]
    result: NDArray[np.float64] = affine @ to_voxel
    return result
