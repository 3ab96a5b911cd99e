"""Whether numbers are finite."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def are_finite(values: Iterable[object]) -> bool:
    """Whether all numbers in the tensors among ``values`` are finite; waits for each device once."""
    by_device: dict[torch.device, list[Tensor]] = {}
    for value in values:
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            by_device.setdefault(value.device, []).append(value.isfinite().all())
    return all(bool(torch.stack(found).all()) for found in by_device.values())
