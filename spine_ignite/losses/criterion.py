"""Losses by name, deep supervision and penalties; everything is computed in float32."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError
from spine_ignite.losses.softmax_sums import softmax_sums, sums_by_class
from spine_ignite.registry import load_registry
from spine_ignite.registry.chosen import require_known
from spine_ignite.spec import ModelOutput

# Rows and columns of the slice that a loss is tried on: the smallest that a network must accept.
_TRIAL = 64


@dataclass(frozen=True, slots=True)
class LossValue:
    """The loss to descend, and its detached parts by name for the log."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Criterion(nn.Module):
    """A loss applied to plain logits or to a :class:`ModelOutput`.

    It is a module, so that buffers and parameters of the loss go to the device, into the optimizer and the checkpoint.

    The total is ``loss(logits) + sum(weight * loss(aux)) + sum(penalties)``; auxiliary logits are resized to the
    label's size (bilinear, ``align_corners=False``).
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def __call__(self, output: Tensor | ModelOutput, label: Tensor) -> LossValue:
        """Return the loss of an output for labels ``(B, H, W)`` of class indices."""
        value: LossValue = super().__call__(output, label)
        return value

    def forward(self, output: Tensor | ModelOutput, label: Tensor) -> LossValue:
        """Return the loss of an output for labels ``(B, H, W)`` of class indices."""
        if isinstance(output, Tensor):
            return LossValue(self.loss(output.float(), label))
        main = self.loss(output.logits.float(), label)
        parts = {"main": main.detach()}
        total = main
        for name, aux in output.aux.items():
            logits = _resize(aux.logits.float(), label)
            value = edge_loss(logits, label) if aux.target == "edge" else self.loss(logits, label)
            parts[f"aux/{name}"] = value.detach()
            total = total + aux.weight * value
        for name, penalty in output.penalties.items():
            parts[f"penalty/{name}"] = penalty.detach()
            total = total + penalty.float()
        return LossValue(total, parts)


def create_loss(config: LossConfig, num_classes: int) -> Criterion:
    """Build the loss of a configuration.

    The loss is tried once on a blank slice: many losses, MONAI's among them, look at an option only when they are used,
    and a wrong one should stop a run before its data is read, not in its first step.

    Raises:
        UsageError: the loss or one of its options does not exist, or it cannot be computed with them.
    """
    chosen = load_registry().choose("loss", config.name, config.options)
    try:
        loss = chosen.target(num_classes=num_classes, **chosen.options)
        value = _try(loss, num_classes)
        if value.ndim:
            raise ValueError(f"the loss must be one number, got a tensor of shape {tuple(value.shape)}")
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"loss.options of '{config.name}' are refused: {reason}") from error
    return Criterion(loss)


def _try(loss: Callable[[Tensor, Tensor], Tensor], num_classes: int) -> Tensor:
    """Return the loss of a blank slice; what a loss remembers of it, it forgets."""
    state = copy.deepcopy(loss.state_dict()) if isinstance(loss, nn.Module) else None
    with torch.no_grad():
        value = loss(torch.zeros(1, num_classes, _TRIAL, _TRIAL), torch.zeros(1, _TRIAL, _TRIAL, dtype=torch.uint8))
    if isinstance(loss, nn.Module) and state is not None:
        loss.load_state_dict(state)
    return value


def edge_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of edge logits ``(B, 1, H, W)`` with the borders between the classes of ``(B, H, W)``.

    A pixel lies on a border if the 3x3 pixels around it have more than one class.
    """
    values = label[:, None].float()
    edge = F.max_pool2d(values, 3, 1, 1) != -F.max_pool2d(-values, 3, 1, 1)
    return F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype))


def _resize(logits: Tensor, label: Tensor) -> Tensor:
    if logits.shape[-2:] == label.shape[-2:]:
        return logits
    return F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=False)


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
    """

    def __init__(
        self,
        num_classes: int,
        batch: bool = True,
        include_background: bool = False,
        smooth: float = 1e-5,
        skip_absent: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.batch = batch
        self.include_background = include_background
        self.smooth = smooth
        self.skip_absent = skip_absent

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``."""
        overlap, predicted, _ = softmax_sums(logits, label.long())
        return self.from_sums(overlap, predicted, label)

    def from_probabilities(self, probabilities: Tensor, label: Tensor) -> Tensor:
        """Return the loss of probabilities ``(B, K, H, W)``."""
        index = label.long().flatten(1)
        chosen = probabilities.flatten(2).gather(1, index[:, None])[:, 0]
        return self.from_sums(sums_by_class(chosen, index, self.num_classes), probabilities.sum((2, 3)), label)

    def from_sums(self, overlap: Tensor, predicted: Tensor, label: Tensor) -> Tensor:
        """Return the loss of ``sum(p g)`` and ``sum(p)``, both ``(B, K)``."""
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
        overlap, predicted, log_likelihood = softmax_sums(logits, label.long())
        ce = -log_likelihood
        if self.label_smoothing:
            ce = (1 - self.label_smoothing) * ce - self.label_smoothing * logits.log_softmax(1).mean()
        return self.dice_weight * self.dice.from_sums(overlap, predicted, label) + self.ce_weight * ce


class _CrossEntropy(nn.Module):
    def __init__(self, weight: list[float] | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight) if weight is not None else None)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        weight = self.weight if isinstance(self.weight, Tensor) else None
        return F.cross_entropy(logits, label.long(), weight, label_smoothing=self.label_smoothing)


class _Monai(nn.Module):
    """One of MONAI's losses, which take labels with a channel axis."""

    def __init__(self, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        value: Tensor = self.loss(logits, label[:, None].long())
        return value


def dice(
    num_classes: int,
    batch: bool = True,
    include_background: bool = False,
    smooth: float = 1e-5,
    skip_absent: bool = False,
) -> nn.Module:
    """Soft Dice; see :class:`SoftDice`."""
    return SoftDice(num_classes, batch, include_background, smooth, skip_absent)


def dice_ce(
    num_classes: int,
    batch: bool = True,
    include_background: bool = False,
    smooth: float = 1e-5,
    skip_absent: bool = True,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> nn.Module:
    """Soft Dice plus cross-entropy; see :class:`DiceCrossEntropy`."""
    soft = SoftDice(num_classes, batch, include_background, smooth, skip_absent)
    return DiceCrossEntropy(soft, dice_weight, ce_weight, label_smoothing)


def cross_entropy(num_classes: int, weight: list[float] | None = None, label_smoothing: float = 0.0) -> nn.Module:
    """Cross-entropy; ``weight`` has one number per class."""
    if weight is not None and len(weight) != num_classes:
        raise ValueError(f"weight needs {num_classes} numbers, got {len(weight)}")
    return _CrossEntropy(weight, label_smoothing)


def _monai(name: str, options: dict[str, Any], **fixed: Any) -> nn.Module:
    import monai.losses

    loss = getattr(monai.losses, name)
    require_known(options, inspect.signature(loss).parameters.keys() - _SETTLED)
    return _Monai(loss(**{**fixed, **options}))


# What MONAI offers but the program has decided: one activation (softmax), labels as indices, one number per batch.
_SETTLED = {"sigmoid", "softmax", "use_softmax", "other_act", "to_onehot_y", "reduction", "soft_label", "ignore_index"}
_DICE_LIKE: dict[str, Any] = {"softmax": True, "to_onehot_y": True, "include_background": False, "batch": True}


def focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``FocalLoss`` on softmax probabilities."""
    return _monai("FocalLoss", options, use_softmax=True, to_onehot_y=True, include_background=True)


def dice_focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``DiceFocalLoss``."""
    return _monai("DiceFocalLoss", options, **_DICE_LIKE)


def tversky(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``TverskyLoss``; ``alpha`` weighs false positives, ``beta`` false negatives."""
    return _monai("TverskyLoss", options, **_DICE_LIKE)


def generalised_dice(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceLoss``."""
    return _monai("GeneralizedDiceLoss", options, **_DICE_LIKE)


def generalised_dice_focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceFocalLoss``."""
    fixed = {key: value for key, value in _DICE_LIKE.items() if key != "batch"}
    return _monai("GeneralizedDiceFocalLoss", options, **fixed)


def hausdorff_dt(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``HausdorffDTLoss``; slow, since it takes distance transforms at every step."""
    return _monai("HausdorffDTLoss", options, softmax=True, to_onehot_y=True, include_background=False)
