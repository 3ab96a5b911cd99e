"""How a volume becomes sagittal slices and slices become the volume again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError

if TYPE_CHECKING:  # torch takes seconds, and most of what needs a geometry resamples nothing
    from torch import Tensor

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


def head_foot_axis(affine: NDArray[Any]) -> int:
    """Return the voxel axis (0, 1 or 2) closest to the patient's head-foot axis; see :func:`sagittal_axis`."""
    return _anatomical_axes(affine)[0][_HEAD_FOOT]


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
        size: rows and columns of the window after resampling.
        window: the part of the native slices that is resampled: top, bottom, left, right. Outside it there is nothing,
            see :func:`spine_ignite.slices.border.find_window`.
    """

    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    native_spacing: tuple[float, float]
    slice_spacing: float
    spacing: tuple[float, float]
    size: tuple[int, int]
    window: tuple[int, int, int, int]

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
        rows, columns = shape[axes[1]], shape[axes[2]]
        return cls(
            shape=(shape[0], shape[1], shape[2]),
            axes=axes,
            flips=flips,
            native_spacing=native,
            slice_spacing=float(lengths[axes[0]]),
            spacing=native,
            size=(rows, columns),
            window=(0, rows, 0, columns),
        )._resampled(spacing or native)

    def cropped(self, window: tuple[int, int, int, int], spacing: tuple[float, float] | None = None) -> SliceGrid:
        """Return the grid of a part of the native slices (top, bottom, left, right), at a spacing as above."""
        return replace(self, window=window)._resampled(spacing or self.native_spacing)

    def _resampled(self, spacing: tuple[float, float]) -> SliceGrid:
        extent = [n * mm for n, mm in zip(self.window_size, self.native_spacing, strict=True)]
        rows, columns = (max(1, round(mm / want)) for mm, want in zip(extent, spacing, strict=True))
        return replace(self, spacing=(extent[0] / rows, extent[1] / columns), size=(rows, columns))

    @property
    def num_slices(self) -> int:
        """Number of sagittal slices."""
        return self.shape[self.axes[0]]

    @property
    def native_size(self) -> tuple[int, int]:
        """Rows and columns before resampling."""
        return self.shape[self.axes[1]], self.shape[self.axes[2]]

    @property
    def window_size(self) -> tuple[int, int]:
        """Rows and columns of the window before resampling."""
        top, bottom, left, right = self.window
        return bottom - top, right - left

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the native slices that the window covers."""
        top, bottom, left, right = self.window
        return slice(top, bottom), slice(left, right)

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
        """Put native slices ``(S, H0, W0)``, or their window, back into the volume's axes ``(I, J, K)``.

        Outside a window is 0.

        Raises:
            DataError: the slices are neither.
        """
        if slices.shape == (self.num_slices, *self.window_size) != (self.num_slices, *self.native_size):
            whole = np.zeros((self.num_slices, *self.native_size), slices.dtype)
            rows, columns = self.inside
            whole[:, rows, columns] = slices
            slices = whole
        if slices.shape != (self.num_slices, *self.native_size):
            wanted = (self.num_slices, *self.native_size)
            raise DataError(f"the slices have shape {slices.shape}, the grid's native slices have {wanted}")
        return np.ascontiguousarray(np.flip(slices, self._reversed_axes).transpose(np.argsort(self.axes)))

    def native_slices(self, array: NDArray[Any]) -> NDArray[Any]:
        """Orient ``(I, J, K)`` and cut the window out: ``(S, H, W)``."""
        rows, columns = self.inside
        return np.ascontiguousarray(self._orient(array)[:, rows, columns])

    def image_to_slices(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Orient and resample an image ``(I, J, K)``: bilinear, antialiased where it shrinks."""
        return self.resample(self.native_slices(np.asarray(array, np.float32)))

    def resample(self, native: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample the window's native slices to ``(S, *size)``."""
        if self.size == self.window_size:
            return native
        import torch

        return _resize(torch.from_numpy(native)[:, None], self.size)[:, 0].numpy()

    def resample_inside(
        self, native: NDArray[np.float32], outside: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Resample native slices of which a part does not count, so that it does not blend into the rest.

        Returns:
            The slices, 0 where nothing that counts is near, and where less than half of a pixel counts.
        """
        if self.size == self.window_size:
            return native, outside
        share = self.resample((~outside).astype(np.float32))
        total = self.resample(np.where(outside, np.float32(0), native))
        return np.divide(total, share, out=np.zeros_like(total), where=share > 0), share < 0.5

    def label_to_slices(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Orient and resample class indices ``(I, J, K)``.

        Each class is resampled as a mask and the largest share wins, so that thin structures keep their area.
        """
        slices = self.native_slices(np.asarray(indices, np.uint8))
        if self.size == self.window_size:
            return slices
        import torch

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
        """Resample logits ``(N, C, H, W)`` to the window's native pixels, bilinear."""
        if tuple(logits.shape[-2:]) == tuple(self.window_size):
            return logits
        return _resize(logits, self.window_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SliceGrid:
        """Read what :meth:`to_dict` wrote."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**plain)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    import torch.nn.functional as F

    shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=shrinks)
