"""What MONAI lends: losses with one activation (softmax), labels as indices, one number per batch.

``weight`` holds a number for each class, by which MONAI multiplies the class's term; it is not divided by their sum.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.labels import IGNORE
from spine_ignite.losses.class_weights import class_weights
from spine_ignite.losses.partial import merge_unlabelled
from spine_ignite.registry.chosen import require_known


class _Monai(nn.Module):
    """One of MONAI's losses, which take labels with a channel axis.

    Ignored pixels are taken out, which changes nothing else in a loss of sums and means over pixels. A class that no
    row labels adds 0 to a mean over classes, which stays one over all classes.

    Args:
        loss: MONAI's.
        pooled: whether it sums over the pixels of all rows together, or each row has a loss of its own.
    """

    def __init__(self, loss: Callable[..., Any], pooled: bool) -> None:
        super().__init__()
        self.loss = loss
        self.pooled = pooled

    def forward(self, logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``; see :class:`.criterion.Criterion`."""
        if labelled is None:
            value: Tensor = self.loss(logits, label[:, None].long())
            return value
        logits, counted = merge_unlabelled(logits, labelled), label != IGNORE
        rows = [slice(None)] if self.pooled else [slice(row, row + 1) for row in range(len(label))]
        values = [self._of_pixels(logits[row], label[row], counted[row]) for row in rows if counted[row].any()]
        return torch.stack(values).mean() if values else 0 * logits.sum()

    def _of_pixels(self, logits: Tensor, label: Tensor, counted: Tensor) -> Tensor:
        """Return the loss of the pixels that count, laid out as one image of one row."""
        pixels, values = logits.movedim(1, -1)[counted], label[counted].long()
        value: Tensor = self.loss(pixels.T[None, :, None], values[None, None, None])
        return value


class _OfShapes(nn.Module):
    """One of MONAI's losses that depends on where pixels lie: none can be taken out."""

    def __init__(self, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits ``(B, K, H, W)`` for labels ``(B, H, W)``."""
        value: Tensor = self.loss(logits, label[:, None].long())
        return value


class _WeightedMean(nn.Module):
    """The mean over classes, each times its weight, of a loss that MONAI offers no weights for."""

    weight: Tensor

    def __init__(self, by_class: nn.Module, weight: Tensor) -> None:
        super().__init__()
        self.by_class = by_class
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits for labels with a channel axis; MONAI gives ``(K,)``, ``(B, K)`` or longer ones."""
        values = self.by_class(logits, label)
        by_class = values if values.ndim == 1 else values.flatten(1)
        value: Tensor = (by_class * self.weight).mean()
        return value


# What MONAI offers but the program has decided: one activation (softmax), labels as indices, one number per batch.
_SETTLED = {"sigmoid", "softmax", "use_softmax", "other_act", "to_onehot_y", "reduction", "soft_label", "ignore_index"}
_DICE_LIKE: dict[str, Any] = {"softmax": True, "to_onehot_y": True, "include_background": False, "batch": True}


def _create(name: str, options: dict[str, Any], **fixed: Any) -> Any:
    import monai.losses

    loss = getattr(monai.losses, name)
    require_known(options, inspect.signature(loss).parameters.keys() - _SETTLED)
    return loss(**{**fixed, **options})


def _counted(weight: list[float] | None, num_classes: int, options: dict[str, Any], default: bool) -> Tensor | None:
    """Return the weights of the classes that MONAI counts: with the background or without it."""
    weights = class_weights(weight, num_classes)
    return weights if weights is None or options.get("include_background", default) else weights[1:]


def focal(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``FocalLoss`` on softmax probabilities."""
    weights = _counted(weight, num_classes, options, True)
    loss = _create("FocalLoss", options, use_softmax=True, to_onehot_y=True, include_background=True, weight=weights)
    return _Monai(loss, pooled=True)


def dice_focal(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``DiceFocalLoss``."""
    weights = _counted(weight, num_classes, options, False)
    return _Monai(_create("DiceFocalLoss", options, **_DICE_LIKE, weight=weights), options.get("batch", True))


def tversky(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``TverskyLoss``; ``alpha`` weighs false positives, ``beta`` false negatives."""
    weights = _counted(weight, num_classes, options, False)
    loss = _create("TverskyLoss", options, **_DICE_LIKE, reduction="mean" if weights is None else "none")
    return _Monai(loss if weights is None else _WeightedMean(loss, weights), options.get("batch", True))


def generalised_dice(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceLoss``; weights of classes multiply its own, those by volume."""
    loss = _create("GeneralizedDiceLoss", options, **_DICE_LIKE)
    _weigh_volumes(loss, _counted(weight, num_classes, options, False))
    return _Monai(loss, options.get("batch", True))


def generalised_dice_focal(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceFocalLoss``; weights of classes hold in both parts."""
    weights = _counted(weight, num_classes, options, False)
    fixed = {key: value for key, value in _DICE_LIKE.items() if key != "batch"}
    loss = _create("GeneralizedDiceFocalLoss", options, **fixed, weight=weights)
    _weigh_volumes(loss.generalized_dice, weights)
    return _Monai(loss, pooled=False)


def _weigh_volumes(loss: Any, weight: Tensor | None) -> None:
    """Let a generalised Dice loss of MONAI multiply its weights by volume with those of the classes."""
    if weight is None:
        return
    # An absent class has an infinite weight by volume, which MONAI replaces: times 0 it would be no number.
    loss.register_buffer("class_weight", weight.clamp_min(1e-12))
    by_volume = loss.w_func
    loss.w_func = lambda volumes: by_volume(volumes) * loss.class_weight


def hausdorff_dt(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``HausdorffDTLoss``; slow, since it takes distance transforms at every step."""
    weights = _counted(weight, num_classes, options, False)
    fixed = {"softmax": True, "to_onehot_y": True, "include_background": False}
    loss = _create("HausdorffDTLoss", options, **fixed, reduction="mean" if weights is None else "none")
    return _OfShapes(loss if weights is None else _WeightedMean(loss, weights))
