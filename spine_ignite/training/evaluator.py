"""Validation as an Ignite engine: no augmentation, no gradients."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from ignite.engine import Engine
from ignite.metrics import Average
from torch import Tensor, nn

from spine_ignite.config.sections import Named
from spine_ignite.losses.criterion import Criterion
from spine_ignite.machine.precision import Precision
from spine_ignite.training.contract import Contract
from spine_ignite.training.epoch_metrics import EpochMetrics
from spine_ignite.training.metrics import SegmentationConfusion, judgeable

Batch = dict[str, Tensor]


def create_evaluator(
    network: nn.Module,
    class_names: Sequence[str],
    *,
    device: torch.device,
    precision: Precision,
    channels_last: bool = True,
    criterion: Criterion | None = None,
    contract: Contract | None = None,
    metrics: Sequence[Named] = (),
    partial: bool = False,
) -> Engine:
    """Return the engine that judges a network on batches as they are.

    After a run ``state.metrics`` holds ``confusion`` (a tensor), what :class:`.epoch_metrics.EpochMetrics` gives, with
    ``metrics`` besides the core's own, and ``loss`` if a criterion is given (the mean over batches). ``state.output``
    holds the last batch's image, label, prediction (on the device) and loss. The first batch holds the network against
    its contract, if one is given. Where labels are ``partial``, what a row does not label counts neither for nor
    against the network; see :func:`.metrics.judgeable`. Ignite's metrics get the label as it is.
    """
    further = EpochMetrics(class_names, metrics)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def evaluate(_engine: Engine, batch: Batch) -> Batch:
        nonlocal contract
        network.eval()
        if criterion is not None:
            criterion.eval()
        with torch.inference_mode():
            image = batch["image"].to(device, non_blocking=True)
            label = batch["label"].to(device, non_blocking=True)
            with precision.autocast(), contract.failures_named(image) if contract is not None else nullcontext():
                logits = network(image.contiguous(memory_format=memory_format))
            if contract is not None:
                contract.check_evaluation(logits, image, network)
                contract = None
            output = {"image": image, "label": label, "prediction": logits.argmax(1)}
            if further.of_batches:  # under the names that Ignite's metrics look for
                output |= {"y_pred": logits, "y": label.long()}
            labelled = batch["labelled"].to(device, non_blocking=True) if partial else None
            if labelled is not None:
                output["labelled"] = labelled
            if criterion is not None:
                output["loss"] = criterion(logits, label, labelled).total
        return output

    evaluator = Engine(evaluate)
    confusion = SegmentationConfusion(len(class_names), output_transform=_counted)
    confusion.attach(evaluator, "confusion")
    if criterion is not None:
        Average(output_transform=lambda o: o["loss"]).attach(evaluator, "loss")
    further.attach(evaluator)
    return evaluator


def _counted(output: Batch) -> tuple[Tensor, Tensor]:
    """Prediction and label, as far as the label can judge."""
    return judgeable(output["prediction"], output["label"], output.get("labelled"))
