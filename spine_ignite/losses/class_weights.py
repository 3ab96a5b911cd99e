"""Weights of classes in a loss, given or found from how often classes are there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError, suggest
from spine_ignite.names import cut
from spine_ignite.slices.store import StoredCase


def with_class_weights(config: LossConfig, cases: Sequence[StoredCase], names: Sequence[str]) -> LossConfig:
    """Return a configuration in which ``class_weights: auto`` is the weight of each class, by name.

    Args:
        config: the section.
        cases: that are trained on.
        names: of the classes, the background first.

    Raises:
        UsageError: a weight is that of no class, or all are 0.
    """
    if config.class_weights == "auto":
        found = balanced([case.voxels for case in cases], [case.labelled for case in cases], len(names))
        weights = {name: float(f"{weight:.4g}") for name, weight in zip(names, found, strict=True)}
        return config.model_copy(update={"class_weights": weights})
    weights_in_order(config, names)
    return config


def weights_in_order(config: LossConfig, names: Sequence[str]) -> list[float] | None:
    """Return the weight of each class in the order of ``names``; None where all weigh the same.

    Raises:
        UsageError: a weight is that of no class, or all are 0.
    """
    given = config.class_weights
    if not isinstance(given, dict):
        return None
    for name in given:
        if name not in names:
            known = cut(", ".join(names), 300)
            raise UsageError(
                f"loss.class_weights names '{name}', which is no class.{suggest(name, names)} Classes: {known}"
            )
    weights = [given.get(name, 1.0) for name in names]
    if not any(weights[1:]):
        raise UsageError("loss.class_weights gives every structure the weight 0; leave one something to weigh")
    return weights


def balanced(
    voxels: Sequence[Sequence[int]], labelled: Sequence[Sequence[int] | None], num_classes: int
) -> list[float]:
    """Return weights that grow as classes are rarer: ``w_k = c / sqrt(f_k)``, which average 1 over the voxels.

    ``f_k`` is the share of class ``k`` of the voxels of those masks that label it; Eigen and Fergus (2015, "Predicting
    depth, surface normals and semantic labels with a common multi-scale convolutional architecture", median-frequency
    balancing) take those that hold it, and ``1 / f_k``. The root, as in the resampling of Mahajan et al. (2018,
    "Exploring the limits of weakly supervised pretraining"), keeps rare classes from drowning the others: a class of
    one voxel in 10,000 weighs 100 times as much as one that is everywhere, not 10,000 times. A class without a voxel
    weighs as much as the rarest.

    Args:
        voxels: of each mask, the number of voxels of each class.
        labelled: of each mask, the indices of the classes that it labels; None: all.
        num_classes: classes, background included.
    """
    counts, known = np.zeros(num_classes), np.zeros(num_classes)
    for mask, indices in zip(voxels, labelled, strict=True):
        own = np.zeros(num_classes)
        own[: len(mask)] = mask
        there = np.ones(num_classes, bool) if indices is None else np.isin(np.arange(num_classes), [0, *indices])
        counts += own
        known += own.sum() * there
    found = counts > 0
    if not found.any():
        return [1.0] * num_classes
    weights = np.zeros(num_classes)
    weights[found] = np.sqrt(known[found] / counts[found])
    weights[~found] = weights.max()
    return [float(weight) for weight in weights * counts.sum() / (weights * counts).sum()]


def class_weights(weight: list[float] | None, num_classes: int) -> Tensor | None:
    """Return one weight for each class, ``(K,)`` in float32; None stays None: all weigh the same.

    Raises:
        ValueError: they are not ``num_classes`` finite numbers from 0 up, or all are 0.
    """
    if weight is None:
        return None
    if len(weight) != num_classes:
        raise ValueError(f"weight needs {num_classes} numbers, got {len(weight)}")
    if not all(math.isfinite(value) and value >= 0 for value in weight) or not any(weight):
        raise ValueError("weights of classes must be finite numbers from 0 up, and not all 0")
    return torch.tensor(weight, dtype=torch.float32)
