"""Cross-entropy, with weights of classes, smoothed labels and labels that are known in part."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.losses.class_weights import class_weights
from spine_ignite.losses.partial import merge_unlabelled, split_ignored
from spine_ignite.losses.softmax_sums import mean_over_pixels, pixel_weights, softmax_sums
from spine_ignite.machine.whole_batch import are_shared


class CrossEntropy(nn.Module):
    """The mean over the pixels that count, each weighing as much as its class in the reference."""

    of_rows = True
    weight: Tensor | None

    def __init__(self, num_classes: int, weight: list[float] | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weight", class_weights(weight, num_classes))
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``; see :class:`.criterion.Criterion`."""
        if labelled is None and not are_shared():
            return F.cross_entropy(logits, label.long(), self.weight, label_smoothing=self.label_smoothing)
        index, counted = (label.long(), None) if labelled is None else split_ignored(label)
        ce = -softmax_sums(logits, index, counted, self.weight, labelled)[2]
        return smoothed(ce, self.label_smoothing, logits, index, counted, labelled, self.weight)


def smoothed(
    ce: Tensor,
    smoothing: float,
    logits: Tensor,
    index: Tensor,
    counted: Tensor | None,
    labelled: Tensor | None,
    weight: Tensor | None,
) -> Tensor:
    """Return cross-entropy with smoothed labels (Szegedy et al. 2016, section 7), as PyTorch defines it with weights.

    A share ``smoothing`` of each pixel's label is spread evenly over the classes that its row labels.

    Args:
        ce: cross-entropy with the labels as they are.
        smoothing: the share.
        logits: ``(B, K, H, W)``.
        index: class indices ``(B, H, W)``.
        counted: the pixels that count, ``(B, H, W)`` bool; None: all.
        labelled: ``(B, K)`` bool; None: all.
        weight: of each class, ``(K,)``; None: one.
    """
    if not smoothing:
        return ce
    log_p = (logits if labelled is None else merge_unlabelled(logits, labelled)).log_softmax(1)
    known = torch.ones(logits.shape[:2], dtype=logits.dtype, device=logits.device)
    if labelled is not None:
        known = labelled.to(logits.dtype)
    of_class = known / known.sum(1, keepdim=True) * (1 if weight is None else weight)
    by_pixel = torch.einsum("bkhw,bk->bhw", log_p, of_class)
    weights = pixel_weights(index, counted, weight, logits.dtype)
    by_row = (by_pixel if counted is None else by_pixel * counted).flatten(1).sum(1)
    return (1 - smoothing) * ce - smoothing * mean_over_pixels(by_row, weights, index[:1].numel())


def cross_entropy(num_classes: int, weight: list[float] | None = None, label_smoothing: float = 0.0) -> nn.Module:
    """Cross-entropy; ``weight`` has one number per class."""
    return CrossEntropy(num_classes, weight, label_smoothing)
