"""Geometry of augmentation: affine and elastic deformation of a batch in one resampling.

Positions are pixels from the image's centre, rows downwards and columns to the right, so that a rotation is a rotation
in images that are not square too. Grids map each output pixel to where its value is read in the input.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def affine_coefficients(degrees: Tensor, scale: Tensor, shear: Tensor, shift: Tensor) -> Tensor:
    """Output-to-input affine maps of images that are sheared, zoomed, rotated and shifted, in this order.

    Args:
        degrees: Rotations, ``(N,)``, counter-clockwise as the image is shown.
        scale: Zooms, ``(N,)``; above 1 enlarges.
        shear: Slants of the columns, ``(N,)``, in degrees: a row moves right by the tangent of it per pixel down.
        shift: Shifts down and to the right, ``(N, 2)``, in pixels.

    Returns:
        ``(N, 2, 3)`` float64: an output pixel at (row, column) from the centre reads the input at
        ``coefficients @ (row, column, 1)``. Without any change exactly the identity.
    """
    angle = torch.deg2rad(degrees.double())
    cos, sin, slant = angle.cos(), angle.sin(), torch.deg2rad(shear.double()).tan()
    # Forward: shear, zoom, then the rotation [[cos, -sin], [sin, cos]] (rows point down). This is the inverse of that.
    rows = torch.stack([cos, sin], dim=1)
    columns = torch.stack([-sin - slant * cos, cos - slant * sin], dim=1)
    linear = torch.stack([rows, columns], dim=1) / scale.double()[:, None, None]
    return torch.cat([linear, -linear @ shift.double()[:, :, None]], dim=2)


@lru_cache(maxsize=64)
def spline_basis(size: int, knots: int, device: torch.device) -> Tensor:
    """Uniform cubic B-spline weights of ``knots`` control points at the centres of ``size`` pixels.

    Returns:
        ``(size, knots)`` float32, non-negative, rows summing to 1. Shared between calls: do not change it in place.
    """
    position = (torch.arange(size, dtype=torch.float64) + 0.5) / size * (knots - 3)
    segment = position.floor().clamp_(max=knots - 4)
    t = position - segment
    weights = torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], dim=1) / 6
    basis = torch.zeros(size, knots, dtype=torch.float64)
    basis.scatter_(1, segment.long()[:, None] + torch.arange(4), weights)
    return basis.float().to(device)


@lru_cache(maxsize=64)
def _displacement_basis(size: int, knots: int, device: torch.device) -> Tensor:
    """The B-spline's weights with rows of norm 1: independent control points then give the same variance everywhere."""
    basis = spline_basis(size, knots, device)
    norm: Tensor = torch.linalg.vector_norm(basis, dim=1, keepdim=True)
    return basis / norm


def elastic_displacement(control: Tensor, size: tuple[int, int]) -> Tensor:
    """Smooth displacements from control points.

    Args:
        control: Independent random displacements of the control points, ``(N, 2, K, K)``, K >= 4, in pixels.
        size: Height and width of the images.

    Returns:
        Displacements along rows and columns, ``(N, 2, H, W)``, in pixels; at each pixel of the same standard deviation
        as the control points.
    """
    rows = _displacement_basis(size[0], control.shape[-2], control.device)
    columns = _displacement_basis(size[1], control.shape[-1], control.device)
    return rows @ (control @ columns.T)


def sampling_grid(coefficients: Tensor, displacement: Tensor | None, size: tuple[int, int]) -> Tensor:
    """The grid that ``torch.nn.functional.grid_sample`` reads (``align_corners=False``).

    Args:
        coefficients: ``(N, 2, 3)`` from :func:`affine_coefficients`, on the images' device.
        displacement: ``(N, 2, H, W)`` pixels added to the positions read, or None.
        size: Height and width of the images.

    Returns:
        ``(N, H, W, 2)`` float32, columns before rows, -1 and 1 being the image's outer edges.
    """
    height, width = size
    device = coefficients.device
    # From here on columns come first, in two planes: as fast to read as pairs, and cheaper to make.
    scaled = torch.stack([coefficients[:, 1] * (2 / width), coefficients[:, 0] * (2 / height)], dim=1).float()
    down = torch.arange(height, device=device) - (height - 1) / 2
    right = torch.arange(width, device=device) - (width - 1) / 2
    by_row = scaled[:, :, 0, None] * down + scaled[:, :, 2, None]
    # A sum of two vectors, not a matrix product: reduced precision (TF32, autocast) must not touch positions.
    grid = by_row[:, :, :, None] + (scaled[:, :, 1, None] * right)[:, :, None, :]
    if displacement is not None:
        grid[:, 0].add_(displacement[:, 1], alpha=2 / width)
        grid[:, 1].add_(displacement[:, 0], alpha=2 / height)
    return grid.permute(0, 2, 3, 1)


def warp_image(image: Tensor, grid: Tensor, contrasts: int = 1) -> Tensor:
    """Read images (bilinear) at the positions of a grid; outside, each contrast of an image has its own minimum.

    Args:
        image: ``(N, C, H, W)`` float32.
        grid: ``(N, H, W, 2)`` from :func:`sampling_grid`.
        contrasts: that the channels hold, one after the other.

    Returns:
        A new tensor ``(N, C, H, W)``.
    """
    low = image.unflatten(1, (contrasts, -1)).amin(dim=(2, 3, 4))
    low = low.repeat_interleave(image.shape[1] // contrasts, dim=1)[:, :, None, None]
    # grid_sample pads with zeros only: the image is raised to a minimum of zero meanwhile.
    moved = F.grid_sample(image - low, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.add_(low)


def warp(image: Tensor, label: Tensor, grid: Tensor, contrasts: int = 1) -> tuple[Tensor, Tensor]:
    """Read images (:func:`warp_image`) and labels (nearest) at the positions of a grid; outside, a label is 0.

    Args:
        image: ``(N, C, H, W)`` float32.
        label: ``(N, H, W)``, integers up to 2**24.
        grid: ``(N, H, W, 2)`` from :func:`sampling_grid`.
        contrasts: that the channels hold, one after the other.

    Returns:
        New tensors of the same shapes and dtypes.
    """
    classes = F.grid_sample(label[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return warp_image(image, grid, contrasts), classes[:, 0].to(label.dtype)
