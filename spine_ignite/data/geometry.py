"""How a volume becomes sagittal slices and slices become the volume again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from spine_ignite.errors import DataError

_LEFT_RIGHT, _FRONT_BACK, _HEAD_FOOT = 0, 1, 2  # world axes of RAS+


def _anatomical_axes(affine: NDArray[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Voxel axis and direction (+1 or -1) closest to each world axis (R, A, S), each used once."""
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)
    if np.isnan(orientation).any():
        raise DataError("the affine is singular: a voxel axis has no length")
    voxel_axis = [0, 0, 0]
    direction = [1, 1, 1]
    for axis, (world, sign) in enumerate(orientation):
        voxel_axis[int(world)] = axis
        direction[int(world)] = int(sign)
    return tuple(voxel_axis), tuple(direction)


def sagittal_axis(affine: NDArray[Any]) -> int:
    """Return the voxel axis (0, 1 or 2) closest to the patient's left-right axis.

    Args:
        affine: ``(4, 4)``, voxel indices to RAS+ mm.

    Raises:
        DataError: the affine is singular.
    """
    return _anatomical_axes(affine)[0][_LEFT_RIGHT]


@dataclass(frozen=True)
class SliceGrid:
    """The two-way map between a volume ``(I, J, K)`` and its sagittal slices ``(S, H, W)``.

    Slices run from the patient's right to left, rows from superior to inferior, columns from anterior to posterior.
    In-plane resampling keeps the extent of the pixels: ``size = round(native_size * native_spacing / spacing)`` and the
    spacing in use is the extent divided by the size.

    Args:
        shape: the volume's shape.
        axes: voxel axes that become (slices, rows, columns).
        flips: whether each of these is reversed.
        native_spacing: mm of a pixel (row, column) before resampling.
        slice_spacing: mm between slices.
        spacing: mm of a pixel (row, column) after resampling.
        size: rows and columns after resampling.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    native_spacing: tuple[float, float]
    slice_spacing: float
    spacing: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def from_geometry(
        cls, shape: tuple[int, ...], affine: NDArray[Any], spacing: tuple[float, float] | None = None
    ) -> SliceGrid:
        """Plan the slices of a volume; ``spacing`` (rows, columns) in mm, or None to keep the pixels.

        Raises:
            DataError: the volume is not 3-D, or the affine is singular.
        """
        if len(shape) != 3:
            raise DataError(f"a volume has three axes, this one has shape {tuple(shape)}")
        axis, direction = _anatomical_axes(affine)
        axes = (axis[_LEFT_RIGHT], axis[_HEAD_FOOT], axis[_FRONT_BACK])
        # RAS+ grows towards right, anterior, superior: each is wanted the other way round.
        flips = (direction[_LEFT_RIGHT] > 0, direction[_HEAD_FOOT] > 0, direction[_FRONT_BACK] > 0)
        lengths = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
        native = (float(lengths[axes[1]]), float(lengths[axes[2]]))
        native_size = (shape[axes[1]], shape[axes[2]])
        wanted = spacing or native
        size = tuple(max(1, round(n * have / want)) for n, have, want in zip(native_size, native, wanted, strict=True))
        used = tuple(n * have / new for n, have, new in zip(native_size, native, size, strict=True))
        return cls(
            shape=(shape[0], shape[1], shape[2]),
            axes=axes,
            flips=flips,
            native_spacing=native,
            slice_spacing=float(lengths[axes[0]]),
            spacing=(used[0], used[1]),
            size=(size[0], size[1]),
        )

    @property
    def num_slices(self) -> int:
        """Number of sagittal slices."""
        return self.shape[self.axes[0]]

    @property
    def native_size(self) -> tuple[int, int]:
        """Rows and columns before resampling."""
        return self.shape[self.axes[1]], self.shape[self.axes[2]]

    @property
    def _reversed_axes(self) -> tuple[int, ...]:
        """Axes of the slices to reverse; not those of length 1, whose negative stride NumPy keeps and torch refuses."""
        sizes = (self.num_slices, *self.native_size)
        return tuple(axis for axis, flip in enumerate(self.flips) if flip and sizes[axis] > 1)

    def _orient(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.shape != self.shape:
            raise DataError(f"the array has shape {array.shape}, the grid was made for {self.shape}")
        return np.ascontiguousarray(np.flip(array.transpose(self.axes), self._reversed_axes))

    def to_volume(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Put native slices ``(S, H0, W0)`` back into the volume's axes ``(I, J, K)``.

        Raises:
            DataError: the slices are not this grid's native ones.
        """
        if slices.shape != (self.num_slices, *self.native_size):
            wanted = (self.num_slices, *self.native_size)
            raise DataError(f"the slices have shape {slices.shape}, the grid's native slices have {wanted}")
        return np.ascontiguousarray(np.flip(slices, self._reversed_axes).transpose(np.argsort(self.axes)))

    def image_to_slices(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Orient and resample an image ``(I, J, K)``: bilinear, antialiased where it shrinks."""
        slices = self._orient(np.asarray(array, np.float32))
        if self.size == self.native_size:
            return slices
        return _resize(torch.from_numpy(slices)[:, None], self.size)[:, 0].numpy()

    def label_to_slices(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Orient and resample class indices ``(I, J, K)``.

        Each class is resampled as a mask and the largest share wins, so that thin structures keep their area.
        """
        slices = self._orient(np.asarray(indices, np.uint8))
        if self.size == self.native_size:
            return slices
        native = torch.from_numpy(slices)
        best = torch.full((len(native), *self.size), -1.0)
        result = torch.zeros((len(native), *self.size), dtype=torch.uint8)
        for index in torch.unique(native).tolist():
            share = _resize((native == index).float()[:, None], self.size)[:, 0]
            better = share > best
            best = torch.where(better, share, best)
            result[better] = index
        return result.numpy()

    def resize_logits(self, logits: Tensor) -> Tensor:
        """Resample logits ``(N, C, H, W)`` to the native pixels ``(N, C, H0, W0)``, bilinear."""
        if logits.shape[-2:] == torch.Size(self.native_size):
            return logits
        return _resize(logits, self.native_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SliceGrid:
        """Read what :meth:`to_dict` wrote."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**plain)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=shrinks)
