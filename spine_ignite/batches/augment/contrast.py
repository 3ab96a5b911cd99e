"""Random tissue contrast of a batch of images, in place: what makes a network indifferent to the sequence.

As in :mod:`spine_ignite.batches.augment.intensity`, images are float32 ``(N, C, H, W)`` on any device, parameters are
on the CPU, and the channels of an image are one picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spine_ignite.batches.augment.intensity import keep_moments


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
