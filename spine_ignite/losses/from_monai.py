"""What MONAI lends: losses with one activation (softmax), labels as indices, one number per batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spine_ignite.registry.chosen import require_known


class _Monai(nn.Module):
    """One of MONAI's losses, which take labels with a channel axis."""

    def __init__(self, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        value: Tensor = self.loss(logits, label[:, None].long())
        return value


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
