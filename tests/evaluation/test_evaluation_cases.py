from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.evaluation.cases import evaluate_case
from spine_ignite.evaluation.distances import average_symmetric_distance, hausdorff_95, surface_distances
from spine_ignite.evaluation.tables import readable_rows, summarise
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("lumbar-vertebrae")
SPACING = st.tuples(*[st.floats(0.3, 5.0)] * 3)


def blobs(seed: int, shape: tuple[int, ...] = (7, 8, 6)) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < rng.uniform(0.05, 0.6)
    mask[tuple(rng.integers(0, n) for n in shape)] = True
    return mask


def monai(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[float, float]:
    """MONAI's figures; it takes one-hot tensors, and a margin so that the border of the array is no edge of its own."""
    pair = [torch.from_numpy(np.pad(mask, 1))[None, None].float() for mask in (prediction, reference)]
    hausdorff = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=list(spacing))
    assd = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=list(spacing))
    return float(hausdorff), float(assd)


@settings(deadline=None, max_examples=60)
@given(first=st.integers(0, 999), second=st.integers(0, 999), spacing=SPACING)
def test_distances_are_monai_s(first: int, second: int, spacing: tuple[float, ...]) -> None:
    reference, prediction = blobs(first), blobs(second)
    distances = surface_distances(reference, prediction, spacing)
    hausdorff, assd = monai(reference, prediction, spacing)
    assert hausdorff_95(*distances) == pytest.approx(hausdorff, abs=1e-4, rel=1e-5)
    assert average_symmetric_distance(*distances) == pytest.approx(assd, abs=1e-4, rel=1e-5)


def test_distances_of_shifted_boxes_are_the_shift() -> None:
    """A plate shifted by two voxels of 3 mm: every surface point is 6 mm away."""
    reference, prediction = np.zeros((2, 12, 4, 4), bool)
    reference[3], prediction[5] = True, True
    to_reference, to_prediction = surface_distances(reference, prediction, (3.0, 1.0, 1.0))
    assert set(to_reference) == set(to_prediction) == {6.0}


@given(seed=st.integers(0, 999), spacing=SPACING)
def test_overlap_measures_are_their_definitions(seed: int, spacing: tuple[float, ...]) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = rng.integers(0, 4, (2, 6, 5, 4)).astype(np.uint8)
    result = evaluate_case("c", reference, prediction, spacing, SCHEME)
    assert result.accuracy == pytest.approx(float((reference == prediction).mean()))
    for found, index in zip(result.classes, (1, 2, 3), strict=True):
        r, p = reference == index, prediction == index
        tp, fp, fn, tn = (r & p).sum(), (~r & p).sum(), (r & ~p).sum(), (~r & ~p).sum()
        assert found.label == SCHEME.classes[index].name
        assert found.dice == pytest.approx(2 * tp / (r.sum() + p.sum()))
        assert found.iou == pytest.approx(tp / (r | p).sum())
        assert found.precision == pytest.approx(tp / (tp + fp))
        assert found.recall == pytest.approx(tp / (tp + fn))
        assert found.fnr == pytest.approx(1 - found.recall)
        assert found.fpr == pytest.approx(fp / (fp + tn))
        assert found.volume_reference == pytest.approx(r.sum() * math.prod(spacing) / 1000)


def volumes(**classes: tuple[int, ...]) -> Any:
    """One voxel row per class name, given as the indices present in (reference, prediction)."""
    reference, prediction = np.zeros((2, 8, 3, 3), np.uint8)
    for index in classes["reference"]:
        reference[index] = index
    for index in classes["prediction"]:
        prediction[index] = index
    return evaluate_case("c", reference, prediction, (1.0, 1.0, 1.0), SCHEME)


def test_absent_classes_count_as_the_design_says() -> None:
    result = volumes(reference=(1, 2), prediction=(1, 3))
    found = {c.label: c for c in result.classes}
    assert found.keys() == {"L5", "L4", "L3"}, "a class absent from both is left out"
    assert (found["L5"].dice, found["L5"].hd95, found["L5"].assd) == (1.0, 0.0, 0.0)
    assert found["L4"].dice == found["L3"].dice == 0.0
    assert math.isnan(found["L4"].hd95)
    assert math.isnan(found["L4"].precision)
    assert math.isnan(found["L3"].recall)
    assert result.dice == pytest.approx(1 / 3)


def test_the_summary_counts_missed_and_invented() -> None:
    cases = [volumes(reference=(1, 2), prediction=(1, 3)), volumes(reference=(1, 2), prediction=(1, 2))]
    summary = summarise(cases, SCHEME.names)
    found = {c.label: c for c in summary.classes}
    assert [c.label for c in summary.classes] == ["L5", "L4", "L3"]
    assert (found["L4"].cases, found["L4"].missed, found["L4"].invented) == (2, 1, 0)
    assert (found["L3"].cases, found["L3"].missed, found["L3"].invented) == (1, 0, 1)
    assert found["L4"].means["dice"] == 0.5
    assert summary.means["dice"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert readable_rows(summary)[1][-1][:4] == ["mean", "2", "", "0.5000"]


def test_nothing_in_either_is_no_result() -> None:
    result = volumes(reference=(), prediction=())
    assert result.classes == ()
    assert math.isnan(result.dice)


def test_volumes_of_different_shape_are_refused() -> None:
    with pytest.raises(DataError, match="case c: prediction .4, 4, 4. and reference .5, 4, 4. differ in shape"):
        evaluate_case("c", np.zeros((5, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), (1, 1, 1), SCHEME)
