"""Losses by name, deep supervision and penalties; everything is computed in float32, or in float64 if logits are."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError
from spine_ignite.labels import IGNORE
from spine_ignite.losses.softmax_sums import mean_over_pixels
from spine_ignite.machine.whole_batch import are_shared, rows_of_all
from spine_ignite.nn.attention import at_least_float32
from spine_ignite.registry import Chosen, load_registry
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

    **Labels known in part.** ``labelled``, ``(B, K)`` bool, says which classes each row labels, and goes to the loss
    with a label that is 255 where nobody has labelled. The loss counts no such pixel, merges the classes that a row
    does not label with its background (:func:`.partial.merge_unlabelled`), and leaves them out of a mean over classes.
    The label of a row must hold labelled classes alone. Without ``labelled`` all classes are labelled, and no pixel may
    be 255.

    **Batches in several processes** (:mod:`.whole_batch`). A loss whose attribute ``of_rows`` is true computes that of
    the whole batch from sums of each row. Any other gets the logits and labels of all rows, in each process. A penalty
    counts by the rows of its process.

    Args:
        loss: of logits ``(B, K, H, W)`` for labels ``(B, H, W)`` and, if it can be used with labels that are known in
            part, ``labelled``.
        aux_align_corners: of the resizing of auxiliary logits, the architecture's ``ModelSpec.aux_align_corners``.
    """

    def __init__(self, loss: Callable[..., Tensor], aux_align_corners: bool = False) -> None:
        super().__init__()
        self.loss = loss
        self.aux_align_corners = aux_align_corners

    def __call__(self, output: Tensor | ModelOutput, label: Tensor, labelled: Tensor | None = None) -> LossValue:
        """Return the loss of an output for labels ``(B, H, W)`` of class indices."""
        value: LossValue = super().__call__(output, label, labelled)
        return value

    def forward(self, output: Tensor | ModelOutput, label: Tensor, labelled: Tensor | None = None) -> LossValue:
        """Return the loss of an output for labels ``(B, H, W)`` of class indices."""
        if isinstance(output, Tensor):
            return LossValue(self._of_classes(at_least_float32(output), label, labelled))
        main = self._of_classes(at_least_float32(output.logits), label, labelled)
        parts = {"main": main.detach()}
        total = main
        for name, aux in output.aux.items():
            logits = _resize(at_least_float32(aux.logits), label, self.aux_align_corners)
            of_edges = aux.target == "edge"
            value = edge_loss(logits, label, labelled) if of_edges else self._of_classes(logits, label, labelled)
            parts[f"aux/{name}"] = value.detach()
            total = total + aux.weight * value
        for name, penalty in output.penalties.items():
            if are_shared():
                penalty = rows_of_all(at_least_float32(penalty).reshape(1).expand(len(label)))[0].mean()
            parts[f"penalty/{name}"] = penalty.detach()
            total = total + at_least_float32(penalty)
        return LossValue(total, parts)

    def _of_classes(self, logits: Tensor, label: Tensor, labelled: Tensor | None) -> Tensor:
        if are_shared() and not getattr(self.loss, "of_rows", False):
            logits, whole = rows_of_all(logits, label)
            label = whole.to(label.dtype)
            labelled = None if labelled is None else rows_of_all(labelled.to(logits.dtype))[0] > 0
        return self.loss(logits, label) if labelled is None else self.loss(logits, label, labelled)


def create_loss(
    config: LossConfig,
    num_classes: int,
    aux_align_corners: bool = False,
    partial: bool = False,
    weight: Sequence[float] | None = None,
) -> Criterion:
    """Build the loss of a configuration.

    The loss is tried once on a blank slice: many losses, MONAI's among them, look at an option only when they are used,
    and a wrong one should stop a run before its data is read, not in its first step.

    Args:
        config: name and options of the loss.
        num_classes: classes, background included.
        aux_align_corners: see :class:`Criterion`.
        partial: whether it will be given labels that are known in part.
        weight: of each class; None: all weigh the same.

    Raises:
        UsageError: the loss or one of its options does not exist, or it cannot be computed with them, with weights of
            classes, or for labels that are known in part.
    """
    chosen = load_registry().choose("loss", config.name, config.options)
    if weight is not None:
        chosen = _weighted(config, list(weight))
    try:
        loss = chosen.target(num_classes=num_classes, **chosen.options)
        value = _try(loss, num_classes)
        if value.ndim:
            raise ValueError(f"the loss must be one number, got a tensor of shape {tuple(value.shape)}")
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"loss.options of '{config.name}' are refused: {reason}") from error
    if partial and not _takes_partial(loss):
        raise UsageError(
            f"loss '{config.name}' cannot be used with partial labels, classes that some of the data does not label or "
            "pixels marked to be ignored; use another loss, dice_ce for one"
        )
    return Criterion(loss, aux_align_corners)


def _weighted(config: LossConfig, weight: list[float]) -> Chosen:
    if "weight" in config.options:
        raise UsageError("loss.class_weights and loss.options.weight both weigh classes; leave out the second")
    try:
        chosen = load_registry().choose("loss", config.name, {**config.options, "weight": weight})
        chosen.target(num_classes=len(weight), **chosen.options)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"loss '{config.name}' cannot be used with loss.class_weights: {reason}") from error
    return chosen


def _takes_partial(loss: Callable[..., Tensor]) -> bool:
    return "labelled" in inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters


def _try(loss: Callable[[Tensor, Tensor], Tensor], num_classes: int) -> Tensor:
    """Return the loss of a blank slice; what a loss remembers of it, it forgets."""
    state = copy.deepcopy(loss.state_dict()) if isinstance(loss, nn.Module) else None
    with torch.no_grad():
        value = loss(torch.zeros(1, num_classes, _TRIAL, _TRIAL), torch.zeros(1, _TRIAL, _TRIAL, dtype=torch.uint8))
    if isinstance(loss, nn.Module) and state is not None:
        loss.load_state_dict(state)
    return value


def edge_loss(logits: Tensor, label: Tensor, labelled: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of edge logits ``(B, 1, H, W)`` with the borders between the classes of ``(B, H, W)``.

    A pixel lies on a border if the 3x3 pixels around it have more than one class. With ``labelled``, ``(B, K)``, pixels
    count whose answer is known: none beside an ignored one, and where a row leaves classes unlabelled none that has
    background alone around it, as the border of such a class may run there.
    """
    values = label[:, None].float()
    highest, lowest = F.max_pool2d(values, 3, 1, 1), -F.max_pool2d(-values, 3, 1, 1)
    edge = highest != lowest
    if labelled is None:
        by_pixel = F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype), reduction="none")
        return mean_over_pixels(by_pixel.flatten(1).sum(1), None, edge[:1].numel())
    whole = labelled[:, 1:].all(1)[:, None, None, None]
    known = ((highest != IGNORE) & (whole | (highest > 0))).to(logits.dtype)
    by_pixel = F.binary_cross_entropy_with_logits(logits, edge.to(logits.dtype), known, reduction="none")
    return mean_over_pixels(by_pixel.flatten(1).sum(1), known, edge[:1].numel())


def _resize(logits: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    if logits.shape[-2:] == label.shape[-2:]:
        return logits
    return F.interpolate(logits, label.shape[-2:], mode="bilinear", align_corners=align_corners)
