"""Random tissue contrast of a batch of images, in place: what makes a network indifferent to the sequence.

As in :mod:`spine_ignite.batches.augment.intensity`, images are float32 ``(N, C, H, W)`` on any device, parameters are
on the CPU, and the channels of an image are one picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spine_ignite.batches.augment.intensity import keep_moments

LABELS = 256  # values of a label of 8 bits
_IGNORE = 255
_LEVELS = 256  # of intensities, in tables


def change_tissues(image: Tensor, label: Tensor, means: Tensor, texture: Tensor, rest: Tensor) -> None:
    """Give each labelled class a mean, the rest of each image a map of intensities; keep its mean and deviation.

    After SynthSeg (Billot et al., Medical Image Analysis 86, 2023, section 3.2), which draws a Gaussian of random mean
    for each class of a label map of the whole head. Here few classes are labelled: what is between them keeps its
    structure, through a random map, and classes keep their texture, scaled. Borders are blended over a pixel.

    An image's intensities and labels together index one table, which a joint histogram fills: a class's table is a
    line of slope ``texture`` through its former and its new mean. Neighbouring slices as channels have no labels of
    their own; they take those of the middle, whose statistics count.

    Args:
        image: ``(N, C, H, W)``, changed in place.
        label: ``(N, H, W)``, integers; 0 and 255 (ignore) are not labelled.
        means: New means of the classes, shares of the image's range, ``(N, 256)``.
        texture: Factor of a class's deviations from its mean, ``(N, 256)``.
        rest: Map of all that is not labelled, ``(N, K + 1)`` from :func:`intensity_map`.
    """
    with keep_moments(image):
        low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
        scaled = image.sub_(low).mul_((_LEVELS - 1) / (high - low).clamp_(min=1e-12))
        classes = label.int()
        classes.masked_fill_(classes >= _IGNORE, 0).mul_(_LEVELS)
        classes += torch.arange(len(image), device=image.device, dtype=torch.int32)[:, None, None] * (LABELS * _LEVELS)
        place = scaled.add_(0.5).int().clamp_(max=_LEVELS - 1).add_(classes[:, None])
        middle = place[:, image.shape[1] // 2].reshape(-1)
        # Whole numbers, whose sums do not depend on their order, and which do not let the host wait for a GPU.
        counts = torch.zeros(len(image) * LABELS * _LEVELS, dtype=torch.int32, device=image.device)
        counts.index_add_(0, middle, torch.ones_like(middle))
        table = _tissue_table(counts.view(len(image), LABELS, _LEVELS), means, texture, rest)
        image.copy_(table.view(-1).index_select(0, place.view(-1)).view(image.shape))
        _blend(image)


def _tissue_table(counts: Tensor, means: Tensor, texture: Tensor, rest: Tensor) -> Tensor:
    """New intensity by label and level, ``(N, 256, 256)``, from the joint histogram of the same shape."""
    level = torch.linspace(0, 1, _LEVELS, device=counts.device)
    former = (counts * level).sum(dim=2) / counts.sum(dim=2).clamp_(min=1)
    slope, mean = (value.to(counts.device, non_blocking=True) for value in (texture, means))
    table = slope[:, :, None] * level + (mean - slope * former)[:, :, None]
    knots = torch.linspace(0, rest.shape[1] - 1, _LEVELS)
    segment = knots.int().clamp_(max=rest.shape[1] - 2)
    line = rest[:, segment] + (knots - segment) * rest.diff(dim=1)[:, segment]
    table[:, 0] = line.to(counts.device, non_blocking=True)
    return table.clamp_(min=0)  # a magnitude


def _blend(image: Tensor) -> None:
    """Binomial blur with the weights 1, 2, 1 along both axes; edges are continued."""
    for axis in (-2, -1):
        last = image.shape[axis] - 1
        source = image * 0.25
        image.mul_(0.5)
        image.narrow(axis, 0, last).add_(source.narrow(axis, 1, last))
        image.narrow(axis, 1, last).add_(source.narrow(axis, 0, last))
        for edge in (0, last):
            image.select(axis, edge).add_(source.select(axis, edge))


def intensity_map(heights: Tensor, monotone: Tensor) -> Tensor:
    """Values of random intensity maps at equidistant knots from an image's minimum to its maximum.

    The minimum stays the minimum: it is air or the margin, which gives no signal in any sequence. Above it the values
    are independent, so that tissues change their order and a T2-like contrast becomes a T1-like one; those of a
    monotone map are in order, as those of MONAI's ``RandHistogramShift``.

    Args:
        heights: Independent random values in [0, 1], ``(N, K)``; K >= 1.
        monotone: Which maps never fall, ``(N,)`` bool.

    Returns:
        ``(N, K + 1)``, the first of each being 0.
    """
    ordered = heights.sort(dim=1).values
    values = torch.where(monotone[:, None], ordered, heights)
    return torch.cat([torch.zeros(len(values), 1), values], dim=1)


def remap(image: Tensor, values: Tensor) -> None:
    """Map each image's intensities by a piecewise-linear function; keep its mean and standard deviation.

    A non-linear intensity transformation as in Zhou et al., "Models Genesis", MICCAI 2019, but with maps that need not
    be monotone. Keeping mean and deviation makes it one of contrast only: the network's input stays normalised.

    Args:
        image: ``(N, C, H, W)``, changed in place.
        values: Of the map at equidistant knots from each image's minimum to its maximum, ``(N, K + 1)``.
    """
    with keep_moments(image):
        segments = values.shape[1] - 1
        low, high = image.amin(dim=(1, 2, 3), keepdim=True), image.amax(dim=(1, 2, 3), keepdim=True)
        image.sub_(low).mul_(segments / (high - low).clamp_(min=1e-12))
        index = image.int().clamp_(max=segments - 1)  # of 32 bits: on a CPU twice as fast as of 64
        image.sub_(index)
        index += torch.arange(len(image), device=image.device, dtype=torch.int32)[:, None, None, None] * segments
        steps = values.diff(dim=1)
        for table, combine in ((steps, image.mul_), (values[:, :-1], image.add_)):
            flat = table.contiguous().to(image.device, non_blocking=True).view(-1)
            combine(flat.index_select(0, index.view(-1)).view(image.shape))
