from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import ConfusionMatrixMetric, DiceMetric

from spine_ignite.training.metrics import (
    SegmentationConfusion,
    dice,
    false_negative_rate,
    false_positive_rate,
    iou,
    judgeable,
    pixel_accuracy,
    recall,
    summarise,
)


def confusion_of(prediction: torch.Tensor, label: torch.Tensor, classes: int) -> torch.Tensor:
    metric = SegmentationConfusion(classes)
    for start in range(0, len(label), 2):  # accumulated over batches
        metric.update((prediction[start : start + 2], label[start : start + 2]))
    return metric.compute()


def draw(seed: int, classes: int, used: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randint(0, used, (3, 9, 7), generator=generator)
    return prediction, torch.randint(0, classes, (3, 9, 7), generator=generator, dtype=torch.uint8)


@given(seed=st.integers(0, 999), classes=st.integers(2, 6), used=st.integers(1, 6))
def test_metrics_are_their_definitions(seed: int, classes: int, used: int) -> None:
    prediction, label = draw(seed, classes, min(used, classes))
    matrix = confusion_of(prediction, label, classes)
    p, r = prediction.numpy(), label.numpy()
    with np.errstate(invalid="ignore"):
        for k in range(classes):
            tp, fp = np.sum((p == k) & (r == k)), np.sum((p == k) & (r != k))
            fn, tn = np.sum((p != k) & (r == k)), np.sum((p != k) & (r != k))
            expected = [
                2 * tp / np.float64(2 * tp + fp + fn),
                tp / np.float64(tp + fp + fn),
                tp / np.float64(tp + fn),
                fn / np.float64(tp + fn),
                fp / np.float64(fp + tn),
            ]
            measures = (dice, iou, recall, false_negative_rate, false_positive_rate)
            np.testing.assert_allclose([float(m(matrix)[k]) for m in measures], expected)
    assert pixel_accuracy(matrix) == pytest.approx(float(np.mean(p == r)))


@given(seed=st.integers(0, 999), classes=st.integers(2, 6))
def test_what_is_not_labelled_counts_neither_way(seed: int, classes: int) -> None:
    """By its definition, pixel by pixel; 255 counts nowhere."""
    prediction, label = draw(seed, classes, classes)
    generator = torch.Generator().manual_seed(seed)
    labelled = torch.rand((3, classes), generator=generator) < 0.5
    labelled[:, 0] = True
    label = label.where(labelled.gather(1, label.flatten(1).long()).view_as(label), torch.tensor(0, dtype=torch.uint8))
    label[torch.rand(label.shape, generator=generator) < 0.1] = 255
    expected = torch.zeros(classes, classes, dtype=torch.int64)
    for row in range(3):
        for p, r in zip(prediction[row].flatten().tolist(), label[row].flatten().tolist(), strict=True):
            if r == 255 or (r == 0 and not labelled[row, p]):
                continue
            expected[r, p if labelled[row, p] else 0] += 1
    assert torch.equal(confusion_of(*judgeable(prediction, label, labelled), classes), expected)


def test_monai_agrees() -> None:
    prediction, label = draw(0, 4, 4)
    matrix = confusion_of(prediction, label, 4)
    # One "image" of all pixels: MONAI averages over images, an epoch's metric adds pixels up.
    one_hot = [
        torch.nn.functional.one_hot(x.long().reshape(1, -1), 4).permute(0, 2, 1)[..., None] for x in (prediction, label)
    ]
    theirs = DiceMetric(reduction="none")(*one_hot)[0]
    np.testing.assert_allclose(dice(matrix).numpy(), theirs.numpy(), rtol=1e-6)
    for name, ours in (("sensitivity", recall), ("fpr", false_positive_rate), ("fnr", false_negative_rate)):
        metric = ConfusionMatrixMetric(metric_name=name, reduction="none")
        metric(*one_hot)
        np.testing.assert_allclose(ours(matrix).numpy(), metric.aggregate()[0][0].numpy(), rtol=1e-5)


def test_a_class_absent_from_both_is_left_out_of_the_mean() -> None:
    label = torch.zeros(1, 4, 4, dtype=torch.uint8)
    label[0, :2] = 1
    summary = summarise(confusion_of(label.long(), label, 4), ["background", "a", "b", "c"], {"dice": dice})
    assert summary["dice"] == 1.0
    assert summary["dice/a"] == 1.0
    assert summary["classes"] == 1
    assert math.isnan(summary["dice/b"])


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    label = torch.zeros(1, 4, 4, dtype=torch.uint8)
    prediction = torch.full((1, 4, 4), 2)
    summary = summarise(confusion_of(prediction, label, 3), ["background", "a", "b"], {"dice": dice})
    assert (summary["dice"], summary["classes"]) == (0.0, 1)
