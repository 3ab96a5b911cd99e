"""Soft Dice, alone and with cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spine_ignite.losses.class_weights import class_weights
from spine_ignite.losses.cross_entropy import smoothed
from spine_ignite.losses.partial import split_ignored, weighted_mean
from spine_ignite.losses.softmax_sums import softmax_sums, softmax_sums_of_squares, sums_by_class
from spine_ignite.machine.whole_batch import rows_of_all


class SoftDice(nn.Module):
    """Soft Dice loss (Milletari et al. 2016 in the form with sums) without a full-size one-hot tensor.

    ``1 - mean over classes of (2 sum(p g) + s) / (sum(p) + sum(g) + s)`` with ``p`` the softmax, ``g`` the reference.
    With ``skip_absent=False`` MONAI's ``DiceLoss(softmax=True, to_onehot_y=True)`` gives the same number.

    A class that a row does not label adds nothing to the sums, and is left out of the mean where no row of the sums
    labels it; ignored pixels are in no sum.

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
        weight: of each class in the mean, background included; one by default.
    """

    of_rows = True
    weight: Tensor | None

    def __init__(
        self,
        num_classes: int,
        batch: bool = True,
        include_background: bool = False,
        smooth: float = 1e-5,
        skip_absent: bool = False,
        squared: bool = False,
        weight: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.batch = batch
        self.include_background = include_background
        self.smooth = smooth
        self.skip_absent = skip_absent
        self.squared = squared
        self.register_buffer("weight", class_weights(weight, num_classes))

    def forward(self, logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``; see :class:`.criterion.Criterion`."""
        index, counted = (label.long(), None) if labelled is None else split_ignored(label)
        overlap, predicted, _ = self.sums(logits, index, counted, labelled=labelled)
        return self.from_sums(overlap, predicted, index, counted, labelled)

    def sums(
        self,
        logits: Tensor,
        index: Tensor,
        counted: Tensor | None = None,
        weight: Tensor | None = None,
        labelled: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :func:`softmax_sums` does, with squares if they are asked for."""
        return (softmax_sums_of_squares if self.squared else softmax_sums)(logits, index, counted, weight, labelled)

    def from_probabilities(self, probabilities: Tensor, label: Tensor) -> Tensor:
        """Return the loss of probabilities ``(B, K, H, W)``."""
        index = label.long().flatten(1)
        chosen = probabilities.flatten(2).gather(1, index[:, None])[:, 0]
        predicted = (probabilities.square() if self.squared else probabilities).sum((2, 3))
        return self.from_sums(sums_by_class(chosen, index, self.num_classes), predicted, label)

    def from_sums(
        self,
        overlap: Tensor,
        predicted: Tensor,
        label: Tensor,
        counted: Tensor | None = None,
        labelled: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of ``sum(p g)`` and ``sum(p)``, or ``sum(p^2)``, both ``(B, K)``.

        Args:
            overlap: ``sum(p g)``.
            predicted: ``sum(p)`` or ``sum(p^2)``.
            label: class indices ``(B, H, W)``.
            counted: the pixels that count, ``(B, H, W)``; all by default.
            labelled: ``(B, K)``, the classes that each row labels; all by default.
        """
        index = label.long().flatten(1)
        ones = torch.ones_like(index) if counted is None else counted.flatten(1).long()
        reference = sums_by_class(ones, index, self.num_classes).to(overlap.dtype)
        if labelled is None:
            overlap, reference, predicted = rows_of_all(overlap, reference, predicted)
        else:
            if not self.batch and counted is not None:
                labelled = labelled & counted.flatten(1).any(1, keepdim=True)
            overlap, reference, predicted, labelled = rows_of_all(overlap, reference, predicted, labelled)
            labelled = labelled > 0
        if self.batch:
            overlap, reference, predicted = overlap.sum(0), reference.sum(0), predicted.sum(0)
            labelled = None if labelled is None else labelled.any(0)
        loss = 1 - (2 * overlap + self.smooth) / (reference + predicted + self.smooth)
        first = 0 if self.include_background else 1
        loss, present = loss[..., first:], reference[..., first:] > 0
        if labelled is None and self.weight is None:
            if not self.skip_absent:
                return loss.mean()
            return (loss * present).sum() / present.sum().clamp_min(1)
        weight = torch.ones_like(loss) if self.weight is None else self.weight[first:].to(loss).expand_as(loss)
        if labelled is not None:
            weight = weight * labelled[..., first:]
        return weighted_mean(loss, weight * present if self.skip_absent else weight)


class DiceCrossEntropy(nn.Module):
    """``dice_weight * soft Dice + ce_weight * cross-entropy``, sharing one softmax."""

    of_rows = True

    def __init__(self, dice: SoftDice, dice_weight: float, ce_weight: float, label_smoothing: float) -> None:
        super().__init__()
        self.dice = dice
        self.dice_weight = dice_weight
        self.ce_weight = ce_weight
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``; see :class:`.criterion.Criterion`."""
        index, counted = (label.long(), None) if labelled is None else split_ignored(label)
        overlap, predicted, log_likelihood = self.dice.sums(logits, index, counted, self.dice.weight, labelled)
        ce = smoothed(-log_likelihood, self.label_smoothing, logits, index, counted, labelled, self.dice.weight)
        dice = self.dice.from_sums(overlap, predicted, index, counted, labelled)
        return self.dice_weight * dice + self.ce_weight * ce


def dice(
    num_classes: int,
    batch: bool = True,
    include_background: bool = False,
    smooth: float = 1e-5,
    skip_absent: bool = False,
    squared: bool = False,
    weight: list[float] | None = None,
) -> nn.Module:
    """Soft Dice; see :class:`SoftDice`."""
    return SoftDice(num_classes, batch, include_background, smooth, skip_absent, squared, weight)


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
    weight: list[float] | None = None,
) -> nn.Module:
    """Soft Dice plus cross-entropy; see :class:`DiceCrossEntropy`. The weights of classes hold in both."""
    soft = SoftDice(num_classes, batch, include_background, smooth, skip_absent, squared, weight)
    return DiceCrossEntropy(soft, dice_weight, ce_weight, label_smoothing)
