"""Losses by name, deep supervision and penalties; everything is computed in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError
from spine_ignite.registry import load_registry
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
    label's size (bilinear); main logits have it.

    Args:
        loss: of logits ``(B, K, H, W)`` for labels ``(B, H, W)``.
        aux_align_corners: of the resizing of auxiliary logits, the architecture's ``ModelSpec.aux_align_corners``.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], aux_align_corners: bool = False) -> None:
        super().__init__()
        self.loss = loss
        self.aux_align_corners = aux_align_corners

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
            logits = _resize(aux.logits.float(), label, self.aux_align_corners)
            value = edge_loss(logits, label) if aux.target == "edge" else self.loss(logits, label)
            parts[f"aux/{name}"] = value.detach()
            total = total + aux.weight * value
        for name, penalty in output.penalties.items():
            parts[f"penalty/{name}"] = penalty.detach()
            total = total + penalty.float()
        return LossValue(total, parts)


def create_loss(config: LossConfig, num_classes: int, aux_align_corners: bool = False) -> Criterion:
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
    return Criterion(loss, aux_align_corners)


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


def _resize(logits: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    if logits.shape[-2:] == label.shape[-2:]:
        return logits
    return F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=align_corners)
