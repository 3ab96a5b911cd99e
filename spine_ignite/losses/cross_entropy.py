"""Cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _CrossEntropy(nn.Module):
    def __init__(self, weight: list[float] | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight) if weight is not None else None)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        weight = self.weight if isinstance(self.weight, Tensor) else None
        return F.cross_entropy(logits, label.long(), weight, label_smoothing=self.label_smoothing)


def cross_entropy(num_classes: int, weight: list[float] | None = None, label_smoothing: float = 0.0) -> nn.Module:
    """Cross-entropy; ``weight`` has one number per class."""
    if weight is not None and len(weight) != num_classes:
        raise ValueError(f"weight needs {num_classes} numbers, got {len(weight)}")
    return _CrossEntropy(weight, label_smoothing)
