"""Intensity transforms of a batch of images, in place, each with one parameter per image.

All take ``image``, float32 ``(N, C, H, W)`` on any device, and parameters of shape ``(N,)`` on the CPU, so that nothing
waits for a GPU to say how large a kernel must be. The channels of an image (neighbouring slices) are one picture: they
share the parameters, and statistics are taken over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.batches.augment.spatial import spline_basis

_TINY = 1e-12
_FIELD_POINTS = 11  # control points per axis of a bias field: plenty for a polynomial of the third order
_FIELD_ORDER = 3


def _each(parameter: Tensor, image: Tensor) -> Tensor:
    return parameter.to(image.device, non_blocking=True)[:, None, None, None]


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (population) standard deviation of each image of a batch, each ``(N, 1, 1, 1)``."""
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    # A norm of the centred image is several times as fast on a CPU as torch.var_mean over some of the axes.
    norm = torch.linalg.vector_norm(image - mean, dim=(1, 2, 3), keepdim=True)
    return mean, norm / math.sqrt(max(image[0].numel(), 1))


@contextmanager
def keep_moments(image: Tensor) -> Iterator[None]:
    """Give each image, changed in place inside, its former mean and standard deviation again."""
    mean, std = moments(image)
    yield
    new_mean, new_std = moments(image)
    factor = std / new_std.clamp_(min=_TINY)
    image.mul_(factor).add_(mean - new_mean * factor)


def change_contrast(image: Tensor, contrast: Tensor, brightness: Tensor) -> None:
    """Scale each image about its mean by ``contrast`` and add ``brightness`` standard deviations."""
    mean, std = moments(image)
    factor = _each(contrast, image)
    image.mul_(factor).add_(mean * (1 - factor) + std * _each(brightness, image))


def change_gamma(image: Tensor, gamma: Tensor) -> None:
    """Raise each image, mapped from [minimum, maximum] to [0, 1], to the power ``gamma``; keep its mean and deviation.

    Keeping them makes the change one of contrast only: the network's input stays normalised.
    """
    with keep_moments(image):
        low = image.amin(dim=(1, 2, 3), keepdim=True)
        high = image.amax(dim=(1, 2, 3), keepdim=True)
        image.sub_(low).div_((high - low).clamp_(min=_TINY)).pow_(_each(gamma, image))


def bias_control(coefficients: Tensor, amplitude: Tensor) -> Tensor:
    """Control points of bias fields: exponentials of random polynomials of the third order.

    Args:
        coefficients: Random weights of the products of Legendre polynomials, ``(N, 4, 4)``; those of a constant and of
            a total order above 3 are not used.
        amplitude: Largest absolute value of each polynomial, ``(N,)``.

    Returns:
        ``(N, 11, 11)``, between ``exp(-amplitude)`` and ``exp(amplitude)``.
    """
    x = torch.linspace(-1, 1, _FIELD_POINTS)
    legendre = torch.stack([torch.ones_like(x), x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
    order = torch.arange(_FIELD_ORDER + 1)
    total = order[:, None] + order
    used = coefficients * ((total > 0) & (total <= _FIELD_ORDER))
    field = legendre.T @ used @ legendre
    largest = field.abs().amax(dim=(1, 2), keepdim=True).clamp_(min=_TINY)
    return torch.exp(field / largest * amplitude[:, None, None])


def apply_bias_field(image: Tensor, control: Tensor) -> None:
    """Multiply each image, counted from its minimum, by a smooth positive field.

    A normalised image has negative values; multiplying them as they are would turn a dark background into a pattern.
    So ``(image - minimum) * field + minimum``: background stays what it is.

    Args:
        image: ``(N, C, H, W)``, changed in place.
        control: Control points of the fields, ``(N, K, K)``, from :func:`bias_control`; a cubic B-spline joins them, so
            that the field stays within their range and its logarithm is never taken at full size.
    """
    rows = spline_basis(image.shape[-2], control.shape[-2], image.device)
    columns = spline_basis(image.shape[-1], control.shape[-1], image.device)
    field = rows @ (control.to(image.device, non_blocking=True) @ columns.T)
    low = image.amin(dim=(1, 2, 3), keepdim=True)
    image.sub_(low).mul_(field[:, None]).add_(low)


def lower_resolution(image: Tensor, zoom: Tensor) -> None:
    """Shrink each image to ``zoom`` of its size (anti-aliased, as a coarser scan averages) and enlarge it again."""
    height, width = image.shape[-2:]
    for index, share in enumerate(zoom.tolist()):
        one = image[index : index + 1]
        coarse = (max(1, round(height * share)), max(1, round(width * share)))
        small = F.interpolate(one, size=coarse, mode="bilinear", align_corners=False, antialias=True)
        one.copy_(F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False))


def blur(image: Tensor, sigma: Tensor) -> None:
    """Gaussian blur with a standard deviation of ``sigma`` pixels, cut at 3 sigma; edges are continued.

    Both passes add shifted copies: with a kernel per image that is some 30 times as fast on a CPU as a grouped
    convolution, and needs no different code on a GPU.
    """
    radius = math.ceil(3 * float(sigma.max())) if len(sigma) else 0
    if radius == 0:
        return
    taps = torch.arange(radius + 1)
    weights = torch.exp(-0.5 * (taps / sigma.clamp(min=1e-3)[:, None]) ** 2) * (taps <= torch.ceil(3 * sigma)[:, None])
    weights = (weights / (2 * weights.sum(dim=1, keepdim=True) - 1)).to(image.device, non_blocking=True)
    for axis in (-2, -1):
        length = image.shape[axis]
        edge = (radius, radius, 0, 0) if axis == -1 else (0, 0, radius, radius)
        padded = F.pad(image, edge, mode="replicate")
        image.mul_(_each(weights[:, 0], image))
        for tap in range(1, radius + 1):
            weight = _each(weights[:, tap], image)
            image.addcmul_(padded.narrow(axis, radius - tap, length), weight)
            image.addcmul_(padded.narrow(axis, radius + tap, length), weight)


def add_ghosts(image: Tensor, ghosts: Tensor, intensity: Tensor, axis: int) -> None:
    """Weaken every n-th line of k-space along one axis, which adds n - 1 shifted copies of the image.

    The signal is counted from each image's minimum, and its magnitude is taken, as scanners do: copies brighten the
    background and never go below it.

    Args:
        image: ``(N, C, H, W)``, changed in place. The central line of k-space (the mean along the axis) is not touched.
        ghosts: n, ``(N,)``: the copies lie one n-th of the field of view apart and wrap around.
        intensity: Share of the signal that those lines lose, ``(N,)``; each copy has ``intensity / n`` of the image.
        axis: -2 for phase encoding along rows (copies above and below), -1 along columns.
    """
    length = image.shape[axis]
    low = image.amin(dim=(1, 2, 3), keepdim=True)
    spectrum = torch.fft.rfft(image.sub_(low), dim=axis)
    line = torch.arange(spectrum.shape[axis])
    hit = (line % ghosts.long()[:, None] == 0) & (line > 0)
    kept = (1 - intensity[:, None] * hit).to(image.device, non_blocking=True)
    spectrum *= kept[:, None, :, None] if axis == -2 else kept[:, None, None, :]
    image.copy_(torch.fft.irfft(spectrum, n=length, dim=axis)).abs_().add_(low)


def add_noise(image: Tensor, std: Tensor, noise: Tensor) -> None:
    """Add Gaussian noise of ``std`` times each image's own standard deviation.

    Args:
        image: ``(N, C, H, W)``, changed in place; each channel gets noise of its own.
        std: ``(N,)``, in standard deviations of the image.
        noise: Standard normal numbers of the image's shape, on its device.
    """
    _, deviation = moments(image)
    image.addcmul_(noise, deviation * _each(std, image))
