"""Soft Dice, alone and with cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.losses.softmax_sums import softmax_sums, softmax_sums_of_squares, sums_by_class


class SoftDice(nn.Module):
    """Soft Dice loss (Milletari et al. 2016 in the form with sums) without a full-size one-hot tensor.

    ``1 - mean over classes of (2 sum(p g) + s) / (sum(p) + sum(g) + s)`` with ``p`` the softmax, ``g`` the reference.
    With ``skip_absent=False`` MONAI's ``DiceLoss(softmax=True, to_onehot_y=True)`` gives the same number.

    Args:
        num_classes: classes, background included.
        batch: sum over the batch before the ratio (else per slice). Most structures are absent from most slices, and
            an absent class has no gradient worth following: hence the default.
        include_background: let class 0 count.
        smooth: ``s``, in pixels.
        skip_absent: leave out classes that the reference lacks. Their term would be 1 as soon as they have any
            probability at all, with a gradient that grows without bound as it falls. Only together with cross-entropy,
            which then is what keeps them from being predicted.
        squared: put ``sum(p^2)`` in the place of ``sum(p)`` (Milletari's own form, that of TransUNet's release).
    """

    def __init__(
        self,
        num_classes: int,
        batch: bool = True,
        include_background: bool = False,
        smooth: float = 1e-5,
        skip_absent: bool = False,
        squared: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.batch = batch
        self.include_background = include_background
        self.smooth = smooth
        self.skip_absent = skip_absent
        self.squared = squared

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``."""
        overlap, predicted, _ = self.sums(logits, label)
        return self.from_sums(overlap, predicted, label)

    def sums(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :func:`softmax_sums` does, with squares if they are asked for."""
        return (softmax_sums_of_squares if self.squared else softmax_sums)(logits, label.long())

    def from_probabilities(self, probabilities: Tensor, label: Tensor) -> Tensor:
        """Return the loss of probabilities ``(B, K, H, W)``."""
        index = label.long().flatten(1)
        chosen = probabilities.flatten(2).gather(1, index[:, None])[:, 0]
        predicted = (probabilities.square() if self.squared else probabilities).sum((2, 3))
        return self.from_sums(sums_by_class(chosen, index, self.num_classes), predicted, label)

    def from_sums(self, overlap: Tensor, predicted: Tensor, label: Tensor) -> Tensor:
        """Return the loss of ``sum(p g)`` and ``sum(p)``, or ``sum(p^2)``, both ``(B, K)``."""
        index = label.long().flatten(1)
        reference = sums_by_class(torch.ones_like(index), index, self.num_classes).to(overlap.dtype)
        if self.batch:
            overlap, reference, predicted = overlap.sum(0), reference.sum(0), predicted.sum(0)
        loss = 1 - (2 * overlap + self.smooth) / (reference + predicted + self.smooth)
        first = 0 if self.include_background else 1
        loss, present = loss[..., first:], reference[..., first:] > 0
        if not self.skip_absent:
            return loss.mean()
        return (loss * present).sum() / present.sum().clamp_min(1)


class DiceCrossEntropy(nn.Module):
    """``dice_weight * soft Dice + ce_weight * cross-entropy``, sharing one softmax."""

    def __init__(self, dice: SoftDice, dice_weight: float, ce_weight: float, label_smoothing: float) -> None:
        super().__init__()
        self.dice = dice
        self.dice_weight = dice_weight
        self.ce_weight = ce_weight
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``."""
        overlap, predicted, log_likelihood = self.dice.sums(logits, label)
        ce = -log_likelihood
        if self.label_smoothing:
            ce = (1 - self.label_smoothing) * ce - self.label_smoothing * logits.log_softmax(1).mean()
        return self.dice_weight * self.dice.from_sums(overlap, predicted, label) + self.ce_weight * ce


def dice(
    num_classes: int,
    batch: bool = True,
    include_background: bool = False,
    smooth: float = 1e-5,
    skip_absent: bool = False,
    squared: bool = False,
) -> nn.Module:
    """Soft Dice; see :class:`SoftDice`."""
    return SoftDice(num_classes, batch, include_background, smooth, skip_absent, squared)


def dice_ce(
    num_classes: int,
    batch: bool = True,
    include_background: bool = False,
    smooth: float = 1e-5,
    skip_absent: bool = True,
    squared: bool = False,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> nn.Module:
    """Soft Dice plus cross-entropy; see :class:`DiceCrossEntropy`."""
    soft = SoftDice(num_classes, batch, include_background, smooth, skip_absent, squared)
    return DiceCrossEntropy(soft, dice_weight, ce_weight, label_smoothing)
