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


def _settings(name: str, options: dict[str, Any], fixed: dict[str, Any], num_classes: int) -> dict[str, Any]:
    """Return the arguments of MONAI's class, with the weights of the classes that it counts."""
    import monai.losses

    require_known(options, inspect.signature(getattr(monai.losses, name)).parameters.keys() - _SETTLED)
    found = {**fixed, **options}
    weight = class_weights(found.get("weight"), num_classes)
    if weight is not None:
        found["weight"] = weight if found.get("include_background", True) else weight[1:]
    return found


def _monai(name: str, options: dict[str, Any], num_classes: int, pooled: bool = False, **fixed: Any) -> nn.Module:
    import monai.losses

    found = _settings(name, options, fixed, num_classes)
    return _Monai(getattr(monai.losses, name)(**found), pooled or bool(found.get("batch", False)))


# What MONAI offers but the program has decided: one activation (softmax), labels as indices, one number per batch.
_SETTLED = {"sigmoid", "softmax", "use_softmax", "other_act", "to_onehot_y", "reduction", "soft_label", "ignore_index"}
_DICE_LIKE: dict[str, Any] = {"softmax": True, "to_onehot_y": True, "include_background": False, "batch": True}


def focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``FocalLoss`` on softmax probabilities."""
    fixed = {"use_softmax": True, "to_onehot_y": True, "include_background": True}
    return _monai("FocalLoss", options, num_classes, pooled=True, **fixed)


def dice_focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``DiceFocalLoss``."""
    return _monai("DiceFocalLoss", options, num_classes, **_DICE_LIKE)


def tversky(num_classes: int, weight: list[float] | None = None, **options: Any) -> nn.Module:
    """MONAI's ``TverskyLoss``; ``alpha`` weighs false positives, ``beta`` false negatives."""
    if weight is None:
        return _monai("TverskyLoss", options, num_classes, **_DICE_LIKE)
    import monai.losses

    found = _settings("TverskyLoss", options, _DICE_LIKE, num_classes)
    by_class = monai.losses.TverskyLoss(**found, reduction="none")
    return _Monai(_WeightedMean(by_class, weight, num_classes), bool(found["batch"]))


class _WeightedMean(nn.Module):
    """The mean over classes, each times its weight, of a loss that MONAI offers no weights for."""

    weight: Tensor

    def __init__(self, by_class: Any, weight: list[float], num_classes: int) -> None:
        super().__init__()
        self.by_class = by_class
        weights = class_weights(weight, num_classes)
        assert weights is not None
        self.register_buffer("weight", weights if by_class.include_background else weights[1:])

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        value: Tensor = (self.by_class(logits, label) * self.weight).mean()
        return value


def generalised_dice(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceLoss``, which weighs classes by their volumes and takes no other weights."""
    return _monai("GeneralizedDiceLoss", options, num_classes, **_DICE_LIKE)


def generalised_dice_focal(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``GeneralizedDiceFocalLoss``; weights of classes hold in the focal loss."""
    fixed = {key: value for key, value in _DICE_LIKE.items() if key != "batch"}
    return _monai("GeneralizedDiceFocalLoss", options, num_classes, **fixed)


def hausdorff_dt(num_classes: int, **options: Any) -> nn.Module:
    """MONAI's ``HausdorffDTLoss``; slow, since it takes distance transforms at every step. No class weights."""
    import monai.losses

    fixed = {"softmax": True, "to_onehot_y": True, "include_background": False}
    return _OfShapes(monai.losses.HausdorffDTLoss(**_settings("HausdorffDTLoss", options, fixed, num_classes)))
