"""Rows of training batches that show phantoms, drawn while training goes on.

In each epoch there are ``data.phantoms`` of them, none seen before. A phantom takes the last rows of one batch, whose
real slices are not seen in that pass; the phantoms of an epoch are spread evenly over its batches. Which they are
depends on the seed and the step alone, so that a resumed run sees the same ones and loader processes draw them side by
side. Only the slices that are used are drawn, in the spacing of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spine_ignite.batches.slice_dataset import place_centred
from spine_ignite.config import DataConfig
from spine_ignite.errors import UsageError
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.labels.mapping import map_scheme
from spine_ignite.names import counted
from spine_ignite.phantom import Exam, PhantomOptions
from spine_ignite.seeds import derive_seed
from spine_ignite.slices.normalise import normalise

_SCHEME = "spine"  # of the phantoms' labels; it has all that they show


class PhantomRows:
    """Draws phantoms into batches.

    Args:
        data: the section, with ``phantoms``, its options and the size of a batch.
        scheme: whose class indices labels hold.
        spacing: of the slices (rows, columns), mm.
        steps_per_epoch: batches of an epoch.
        seed: the run's.

    Raises:
        UsageError: the options are none that phantoms have, or an epoch has no room for so many.
    """

    def __init__(
        self, data: DataConfig, scheme: LabelScheme, spacing: tuple[float, float], steps_per_epoch: int, seed: int
    ) -> None:
        wanted = data.phantom_options
        self.options = PhantomOptions(wanted.contrast, wanted.view, wanted.variety, _SCHEME)  # type: ignore[arg-type]
        self.count, self.steps_per_epoch = data.phantoms, steps_per_epoch
        self.batch_size = data.items_per_batch
        self.slices = min(wanted.slices, self.batch_size)
        self.context, self.spacing, self.clip_percentiles = data.context_slices, spacing, data.clip_percentiles
        self.seed = derive_seed(seed, 8)
        room = steps_per_epoch * (self.batch_size // self.slices)
        if self.count > room:
            raise UsageError(
                f"data.phantoms is {self.count}, but an epoch of {steps_per_epoch} batches of {self.batch_size} has "
                f"room for {room} of {self.slices} slices; lower it, or data.phantom_options.slices"
            )
        mapping = map_scheme(load_scheme(_SCHEME), scheme)
        # Phantoms label the bodies of vertebrae: where a vertebra is the whole bone, they do not say what it is.
        unknown = {c.index for c in scheme.classes if c.kind == "vertebra" and scheme.vertebrae != "body"}
        self._to_scheme = mapping
        self._unknown = np.array(sorted(unknown), np.uint8)
        self.labelled = torch.tensor([has and n not in unknown for n, has in enumerate(mapping.reached)])
        if not self.labelled[1:].any():
            raise UsageError(
                f"phantoms have none of the classes of the scheme '{scheme.name}', so that nothing is learnt from "
                "them; set data.phantoms to 0"
            )

    @property
    def description(self) -> str:
        """What is mixed in, in a sentence."""
        shown, rows, all_rows = self.options, self.count * self.slices, self.steps_per_epoch * self.batch_size
        lacking = int((~self.labelled).sum())
        return (
            f"{counted(self.count, 'phantom')} (contrast {shown.contrast}, view {shown.view}, variety "
            f"{shown.variety:g}), drawn anew in each epoch, in place of {rows} of its {all_rows} slices"
            + (f"; they leave {lacking} of {len(self.labelled)} classes open" if lacking else "")
        )

    def numbers(self, step: int) -> range:
        """Return the phantoms of a step's batch, counted from the start of training."""
        first, end = (-(-at * self.count // self.steps_per_epoch) for at in (step, step + 1))
        return range(first, end)

    def rows(self, step: int) -> int:
        """Return how many rows of a step's batch show phantoms: the last ones."""
        return self.slices * len(self.numbers(step))

    def fill(self, step: int, image: Tensor, label: Tensor, rows: Sequence[int] | None = None) -> None:
        """Draw a step's phantoms into its batch, or into some rows of it; a phantom that is in none is not drawn.

        Args:
            step: of training.
            image: ``(B, C, H, W)``, whose last rows are overwritten.
            label: ``(B, H, W)``, likewise.
            rows: which rows of the batch these are; by default all.
        """
        places = {row: place for place, row in enumerate(range(len(image)) if rows is None else rows)}
        for turn, number in enumerate(self.numbers(step)):
            first = self.batch_size - self.rows(step) + turn * self.slices
            wanted = [(n, places[first + n]) for n in range(self.slices) if first + n in places]
            if not wanted:
                continue
            planes, masks = self._draw(number)
            for plane, place in wanted:
                for channel in range(image.shape[1]):
                    place_centred(planes[plane, channel], image[place, channel].numpy(), fill=None)
                place_centred(masks[plane], label[place].numpy(), fill=0)

    def origins(self, step: int) -> list[str]:
        """Say which phantoms a step's batch holds, row by row."""
        return [f"phantom {number}" for number in self.numbers(step) for _ in range(self.slices)]

    def _draw(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return slices with their neighbours ``(n, C, h, w)`` and labels ``(n, h, w)`` of a phantom."""
        exam = Exam(self.seed, 0, number, None, self.options)
        _, rows, columns = (n * d for n, d in zip(exam.scan.size, exam.scan.spacing, strict=True))
        size = (exam.num_slices, max(1, round(rows / self.spacing[0])), max(1, round(columns / self.spacing[1])))
        exam.scan = replace(exam.scan, size=size, spacing=(exam.scan.spacing[0], *self.spacing))
        middles = self._middles(number, exam.num_slices)
        near = [[min(max(m + n, 0), size[0] - 1) for n in range(-self.context, self.context + 1)] for m in middles]
        used = sorted({index for indices in near for index in indices})
        drawn = {index: exam.slice(index) for index in used}
        planes = normalise(np.stack([drawn[index][0] for index in used]).astype(np.float32), self.clip_percentiles)
        masks = self._indices(np.stack([drawn[index][1] for index in used]))
        place = {index: n for n, index in enumerate(used)}
        picked = np.array([[place[index] for index in indices] for indices in near])
        return planes[picked], masks[[place[middle] for middle in middles]]

    def _middles(self, number: int, num_slices: int) -> Sequence[int]:
        """Slices evenly apart, the first anywhere: no part of the volume is seen less than another."""
        start = np.random.default_rng((self.seed, 1, number)).uniform()
        return [int((start + n) * num_slices / self.slices) for n in range(self.slices)]

    def _indices(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        indices = self._to_scheme.indices(self._to_scheme.source.to_indices(values))
        return np.where(np.isin(indices, self._unknown), np.uint8(0), indices) if len(self._unknown) else indices
