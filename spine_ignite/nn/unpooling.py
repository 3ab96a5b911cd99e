"""Max pooling that remembers where its maxima were, and the way back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_with_indices(x: Tensor) -> tuple[Tensor, Tensor]:
    """2x2 max pooling, odd sizes rounded up.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        The maxima ``(B, C, ceil(H / 2), ceil(W / 2))`` and, for each, its place ``row * W + column`` in ``x``.
    """
    pooled, indices = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
    return pooled, indices


def unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Put values back where the maxima were, zeros elsewhere (Badrinarayanan et al. 2017, section 3).

    The windows of the pooling do not overlap, so every place is written once, and the result is repeatable on every
    device.

    Args:
        x: ``(B, C, h, w)``.
        indices: from :func:`pool_with_indices`, of the same shape.
        size: ``(H, W)`` of what was pooled.

    Returns:
        ``(B, C, H, W)``.
    """
    empty = torch.zeros(*x.shape[:2], size[0] * size[1], dtype=x.dtype, device=x.device)
    filled = empty.scatter(2, indices.flatten(2), x.flatten(2))
    return filled.reshape(*x.shape[:2], *size)
