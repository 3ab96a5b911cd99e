"""Labels that are known in part: classes that a slice does not label, pixels that nobody has labelled.

A class that is not labelled may lie anywhere where the reference says background. The marginal loss (Fang and Yan 2020,
"Multi-organ segmentation over partially labeled datasets with multi-scale feature abstraction"; Shi et al. 2021,
"Marginal loss and exclusion loss for partially supervised multi-organ segmentation") therefore asks of a background
pixel only that the background and the unlabelled classes *together* are likely.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spine_ignite.labels import IGNORE

# How far below the background the logit of a merged class lies: its probability is 0 in float32 and adds nothing to a
# sum in float64, and its logarithm is finite, so that no loss meets 0 times infinity.
_BELOW = 200.0


def merge_unlabelled(logits: Tensor, labelled: Tensor) -> Tensor:
    """Merge the classes that a row does not label with its background.

    The softmax of the result gives the background the sum of its own probability and theirs, them 0, and the other
    classes what they had. A row that labels all classes stays as it is.

    Args:
        logits: ``(B, K, H, W)``.
        labelled: ``(B, K)`` bool, which classes each row labels; the background always counts as labelled.

    Returns:
        Logits ``(B, K, H, W)``.
    """
    kept = labelled[:, 1:, None, None]
    hidden = logits[:, 1:].masked_fill(kept, -torch.inf)
    background = torch.cat([logits[:, :1], hidden], 1).logsumexp(1, keepdim=True)
    return torch.cat([background, torch.where(kept, logits[:, 1:], background.detach() - _BELOW)], 1)


def split_ignored(label: Tensor) -> tuple[Tensor, Tensor]:
    """Return a label ``(B, H, W)`` as class indices (int64) with ignored pixels as background, and which pixels count.

    The second is bool, ``(B, H, W)``.
    """
    counted = label != IGNORE
    return label.long().masked_fill(~counted, 0), counted


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return ``sum(weight values) / sum(weight)``, 0 where no weight is left."""
    total = weight.sum()
    return (weight * values).sum() / or_one(total)


def or_one(total: Tensor) -> Tensor:
    """Return a sum of weights, or 1 where it is 0: nothing over it stays nothing."""
    return torch.where(total > 0, total, torch.ones_like(total))
