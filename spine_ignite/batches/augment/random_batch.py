"""A copy of a batch with its random numbers, which depend on seed, iteration and row alone.

Decisions and parameters are drawn on the CPU, so that they are the same on every device; only noise is drawn on the
batch's device. A process that has some rows of a batch draws the small tables for all of them and takes its own, so
that a row gets the same numbers wherever it is; noise, which is as large as the image, has a generator for each row.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# One uniform number per slice for each of these: switching a transform off leaves the others' draws as they were.
_DRAWS = (
    *("flip", "head_to_foot"),
    *("affine", "degrees", "scale", "shear", "shift_rows", "shift_columns"),
    *("elastic", "magnitude"),
    *("contrast", "contrast_factor", "brightness"),
    *("gamma", "gamma_exponent"),
    *("bias_field", "coefficient"),
    *("low_resolution", "zoom"),
    *("blur", "sigma"),
    *("ghosting", "ghosts", "intensity", "along_rows"),
    *("noise", "std"),
)
_STREAMS = ("draws", "elastic", "bias_field", "noise", "neighbours", "remap", "tissue", "drop_contrast")
_CONTRAST = 0x43  # a word in the keys of the further contrasts of an exam


class RandomBatch:
    """A copy of a batch in float32 with its random numbers; the transforms change it in place.

    Args:
        image: ``(B, C, H, W)``.
        label: ``(B, H, W)``.
        seed: Start of all randomness.
        iteration: Number of the training step.
        rows: Which rows these are of a batch whose other rows are elsewhere; by default all.
        of: Rows of that batch.
    """

    def __init__(
        self,
        image: Tensor,
        label: Tensor,
        seed: int,
        iteration: int,
        rows: Sequence[int] | None = None,
        of: int | None = None,
    ) -> None:
        self.image = torch.empty(image.shape, dtype=torch.float32, device=image.device).copy_(image)
        self.label = label.clone(memory_format=torch.contiguous_format)
        self._key: tuple[int, ...] = (seed, iteration)
        self.rows = range(len(image)) if rows is None else rows
        self.of = len(image) if of is None else of
        self._here = None if rows is None else torch.tensor(rows)
        self._draw_table()

    def _draw_table(self) -> None:
        table = self.draw(torch.rand, "draws", len(_DRAWS))
        self._draws = dict(zip(_DRAWS, table.T, strict=True))

    def of_contrast(self, number: int, count: int) -> RandomBatch:
        """Return the channels of one of ``count`` contrasts as a batch with random numbers of its own.

        Its image is a copy, for :meth:`put_back`; the first contrast has this batch's random numbers, and a single one
        is the batch itself.
        """
        if count == 1:
            return self
        part = copy.copy(self)
        part.image = self.image.chunk(count, dim=1)[number].clone(memory_format=torch.contiguous_format)
        if number:
            part._key = (*self._key, number, _CONTRAST)  # five words: no key of a batch, a stream or a row
            part._draw_table()
        return part

    def put_back(self, part: RandomBatch, number: int, count: int) -> None:
        """Write the image of :meth:`of_contrast` back to where it was taken from."""
        if part is not self:
            self.image.chunk(count, dim=1)[number].copy_(part.image)

    def generator(self, stream: str) -> torch.Generator:
        """Start one of the streams of random numbers, which do not move each other."""
        return torch.Generator().manual_seed(_mix(*self._key, _STREAMS.index(stream)))

    def draw(self, how: Callable[..., Tensor], stream: str, *size: int) -> Tensor:
        """Return random numbers ``(B, *size)`` of a stream, with ``torch.rand`` or ``torch.randn``."""
        return self.own(how(self.of, *size, generator=self.generator(stream)))

    def own(self, drawn: Tensor, dim: int = 0) -> Tensor:
        """Return the rows that are here of what was drawn for the whole batch."""
        return drawn if self._here is None else drawn.index_select(dim, self._here)

    def normal(self, stream: str, group: Tensor) -> Tensor:
        """Return normal numbers of the size of some slices, on their device; each row has a generator of its own."""
        device, number = self.image.device, _STREAMS.index(stream)
        size = (1, *self.image.shape[1:])
        drawn = [
            torch.randn(
                size,
                generator=torch.Generator(device).manual_seed(_mix(*self._key, number, self.rows[place])),
                device=device,
            )
            for place in group.tolist()
        ]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    def chosen(self, name: str, p: float) -> Tensor:
        """Indices of the slices that get a transform."""
        hit: Tensor = self._draws[name] < p
        return hit.nonzero()[:, 0]

    def uniform(self, name: str, limits: tuple[float, float]) -> Tensor:
        """One number for each slice, even within limits."""
        low, high = limits
        drawn: Tensor = self._draws[name] * (high - low)
        return drawn + low

    def log_uniform(self, name: str, limits: tuple[float, float]) -> Tensor:
        """One number for each slice, even in its logarithm within limits."""
        low, high = limits
        drawn: Tensor = self._draws[name] * math.log(high / low)
        return drawn.exp() * low

    def edit(self, rows: Tensor, transform: Callable[..., None], *parameters: Tensor) -> None:
        """Run ``transform(images, *parameters)`` on some slices; ``parameters`` are of all rows here, on the CPU."""
        for group in self.groups(rows):
            part = self.select(self.image, group)
            transform(part, *(parameter[group] for parameter in parameters))
            if 1 < len(group) < len(self.image):
                self.store(self.image, group, part)

    def select(self, tensor: Tensor, group: Tensor) -> Tensor:
        """Some slices of the batch's image or label; a view if they are one or all, else a copy."""
        if len(group) == len(tensor):
            return tensor
        if len(group) == 1:
            return tensor.narrow(0, int(group[0]), 1)
        return tensor.index_select(0, group.to(tensor.device, non_blocking=True))

    def store(self, tensor: Tensor, group: Tensor, part: Tensor) -> None:
        """Write slices back to where :meth:`select` took them from."""
        if 1 < len(group) < len(tensor):
            tensor.index_copy_(0, group.to(tensor.device, non_blocking=True), part)
        else:
            self.select(tensor, group).copy_(part)

    def groups(self, rows: Tensor) -> Sequence[Tensor]:
        """Slices to work on together, of those chosen."""
        if len(rows) == 0:
            return ()
        return torch.split(rows, 1) if _works_slice_by_slice(self.image.device) else (rows,)


def missing_contrasts(image: Tensor, contrasts: int) -> Tensor:
    """Return which contrasts of images ``(B, C, H, W)`` are missing, 0 everywhere: bool ``(B, contrasts)``."""
    return ~image.reshape(len(image), contrasts, -1).any(dim=2)


def _works_slice_by_slice(device: torch.device) -> bool:
    """On a CPU, whose cache then holds a slice (2.4 times as fast as whole batches); elsewhere launches cost more."""
    return device.type == "cpu"


def _mix(*words: int) -> int:
    """A seed of 63 bits from several integers (SplitMix64's finaliser), so that near ones give unrelated streams.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mask = (1 << 64) - 1
    state = 0
    for word in words:
        state = (state + (word & mask) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1
