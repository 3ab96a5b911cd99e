"""Weights of classes in a loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def class_weights(weight: list[float] | None, num_classes: int) -> Tensor | None:
    """Return one weight for each class, ``(K,)`` in float32; None stays None: all weigh the same.

    Raises:
        ValueError: they are not ``num_classes`` finite numbers from 0 up, or all are 0.
    """
    if weight is None:
        return None
    if len(weight) != num_classes:
        raise ValueError(f"weight needs {num_classes} numbers, got {len(weight)}")
    if not all(math.isfinite(value) and value >= 0 for value in weight) or not any(weight):
        raise ValueError("weights of classes must be finite numbers from 0 up, and not all 0")
    return torch.tensor(weight, dtype=torch.float32)
