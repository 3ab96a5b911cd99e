from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, precision_score, recall_score

from spine_ignite.errors import DataError
from spine_ignite.evaluation.case_results import ClassResult, evaluate_case
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("lumbar-vertebrae")
Mask = NDArray[np.bool_]
SHAPE = (7, 8, 6)
SPACING = st.tuples(*[st.floats(0.3, 5.0)] * 3)


def mask(kind: str, seed: int) -> Mask:
    """A mask that is empty, full, a single voxel, a ball or noise."""
    rng = np.random.default_rng(seed)
    if kind == "empty":
        return np.zeros(SHAPE, bool)
    if kind == "full":
        return np.ones(SHAPE, bool)
    found = rng.random(SHAPE) < rng.uniform(0.05, 0.6) if kind == "noise" else np.zeros(SHAPE, bool)
    found[tuple(rng.integers(0, n) for n in SHAPE)] = True
    return ndimage.binary_dilation(found, iterations=2) if kind == "ball" else found


MASKS = st.builds(mask, st.sampled_from(["empty", "full", "voxel", "ball", "noise"]), st.integers(0, 9999))


def measured(reference: Mask, prediction: Mask, spacing: tuple[float, ...], tolerance: float = 2.0) -> ClassResult:
    """Surfaces are counted by voxels; by area they are tested in ``test_distances.py``."""
    volumes = reference.astype(np.uint8), prediction.astype(np.uint8)
    return evaluate_case("c", *volumes, spacing, SCHEME, tolerance, "voxels").classes[0]


def surface_points(found: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Places in mm of the voxels of which a face is no face of another voxel of the mask."""
    padded = np.pad(found, 1)
    inner = padded.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)
    return np.argwhere((padded & ~inner)[1:-1, 1:-1, 1:-1]) * np.asarray(spacing)


@settings(max_examples=150)
@given(reference=MASKS, prediction=MASKS, spacing=SPACING, tolerance=st.floats(0.1, 6.0))
def test_surface_measures_are_those_of_nearest_neighbours(
    reference: Mask, prediction: Mask, spacing: tuple[float, ...], tolerance: float
) -> None:
    if not reference.any() and not prediction.any():
        return
    found = measured(reference, prediction, spacing, tolerance)
    if not reference.any() or not prediction.any():
        assert math.isnan(found.hd95)
        assert math.isnan(found.assd)
        assert found.nsd == 0
        return
    first, second = surface_points(reference, spacing), surface_points(prediction, spacing)
    to_second, to_first = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    both = np.concatenate([to_first, to_second])
    assert found.hd95 == pytest.approx(max(np.percentile(to_first, 95), np.percentile(to_second, 95)), abs=1e-6)
    assert found.assd == pytest.approx(both.mean(), abs=1e-6)
    if np.abs(both - tolerance).min() > 1e-9:
        assert found.nsd == pytest.approx((both <= tolerance).mean(), abs=1e-6)


@settings(max_examples=60)
@given(reference=MASKS, prediction=MASKS, spacing=SPACING)
def test_surface_measures_are_monai_s(reference: Mask, prediction: Mask, spacing: tuple[float, ...]) -> None:
    """MONAI computes in float32; it takes one-hot tensors, with a margin so that the array's border is no edge."""
    if not reference.any() or not prediction.any():
        return
    found = measured(reference, prediction, spacing)
    pair = [torch.from_numpy(np.pad(part, 1))[None, None].float() for part in (prediction, reference)]
    hausdorff = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=list(spacing))
    assd = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=list(spacing))
    nsd = compute_surface_dice(*pair, class_thresholds=[2.0], include_background=True, spacing=list(spacing))
    assert found.hd95 == pytest.approx(float(hausdorff), abs=1e-4, rel=1e-5)
    assert found.assd == pytest.approx(float(assd), abs=1e-4, rel=1e-5)
    assert found.nsd == pytest.approx(float(nsd), abs=1e-6)


def test_distances_of_shifted_plates_are_the_shift() -> None:
    """A plate shifted by two voxels of 3 mm: every surface point is 6 mm away."""
    reference, prediction = np.zeros((2, 12, 4, 4), bool)
    reference[3], prediction[5] = True, True
    found = measured(reference, prediction, (3.0, 1.0, 1.0), tolerance=5.9)
    assert (found.hd95, found.assd, found.nsd, found.dice) == (6.0, 6.0, 0.0, 0.0)
    assert measured(reference, prediction, (3.0, 1.0, 1.0), tolerance=6.0).nsd == 1.0


@settings(max_examples=100)
@given(reference=MASKS, prediction=MASKS, spacing=SPACING)
def test_overlap_measures_are_scikit_learn_s(reference: Mask, prediction: Mask, spacing: tuple[float, ...]) -> None:
    if not reference.any() and not prediction.any():
        return
    found = measured(reference, prediction, spacing)
    truth, guess = reference.ravel(), prediction.ravel()
    assert found.iou == pytest.approx(jaccard_score(truth, guess), abs=1e-6)
    assert found.dice == pytest.approx(2 * jaccard_score(truth, guess) / (1 + jaccard_score(truth, guess)), abs=1e-6)
    tn, fp, fn, tp = confusion_matrix(truth, guess, labels=[False, True]).ravel()
    if reference.any():
        assert found.recall == pytest.approx(recall_score(truth, guess), abs=1e-6)
        assert found.fnr == pytest.approx(1 - recall_score(truth, guess), abs=1e-6)
        assert found.volume_error == pytest.approx((tp + fp) / (tp + fn) - 1, abs=1e-6)
    else:
        assert math.isnan(found.recall)
        assert math.isnan(found.fnr)
        assert math.isnan(found.volume_error)
    if prediction.any():
        assert found.precision == pytest.approx(precision_score(truth, guess), abs=1e-6)
    else:
        assert math.isnan(found.precision)
    if not reference.all():
        assert found.fpr == pytest.approx(1 - recall_score(~truth, ~guess), abs=1e-6)
        assert found.fpr == pytest.approx(fp / (fp + tn), abs=1e-6)
    else:
        assert math.isnan(found.fpr)
    assert found.volume_reference == pytest.approx(truth.sum() * math.prod(spacing) / 1000)
    assert found.volume_prediction == pytest.approx(guess.sum() * math.prod(spacing) / 1000)


@settings(max_examples=50)
@given(reference=MASKS, prediction=MASKS)
def test_overlap_measures_are_simpleitk_s(reference: Mask, prediction: Mask) -> None:
    if not reference.any() or not prediction.any():
        return
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(SimpleITK.GetImageFromArray(part.astype(np.uint8)) for part in (prediction, reference)))
    found = measured(reference, prediction, (1.0, 1.0, 1.0))
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient(1), abs=1e-6)
    assert found.iou == pytest.approx(overlap.GetJaccardCoefficient(1), abs=1e-6)
    assert found.fnr == pytest.approx(overlap.GetFalseNegativeError(1), abs=1e-6)


@given(seed=st.integers(0, 999))
def test_classes_are_judged_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = rng.integers(0, 4, (2, 6, 5, 4)).astype(np.uint8)
    result = evaluate_case("c", reference, prediction, (1.0, 2.0, 0.5), SCHEME, surfaces="voxels")
    assert result.accuracy == pytest.approx(accuracy_score(reference.ravel(), prediction.ravel()))
    assert [c.label for c in result.classes] == list(SCHEME.names[1:4])
    for found, index in zip(result.classes, (1, 2, 3), strict=True):
        alone = measured(reference == index, prediction == index, (1.0, 2.0, 0.5))
        assert [*found.to_dict().values()][2:] == pytest.approx([*alone.to_dict().values()][2:])


def volumes(**classes: tuple[int, ...]) -> Any:
    """One slab per class, given as the indices present in (reference, prediction)."""
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
    assert (found["L5"].dice, found["L5"].hd95, found["L5"].assd, found["L5"].nsd) == (1.0, 0.0, 0.0, 1.0)
    assert found["L4"].dice == found["L3"].dice == found["L4"].nsd == found["L3"].nsd == 0.0
    assert found["L4"].volume_error == -1.0
    assert result.dice == pytest.approx(1 / 3)
    assert result.level_rate == 0.5


def test_nothing_in_either_is_no_result() -> None:
    result = volumes(reference=(), prediction=())
    assert result.classes == ()
    assert math.isnan(result.dice)
    assert math.isnan(result.level_rate)


def test_volumes_of_different_shape_are_refused() -> None:
    with pytest.raises(DataError, match="case c: prediction .4, 4, 4. and reference .5, 4, 4. differ in shape"):
        evaluate_case("c", np.zeros((5, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), (1, 1, 1), SCHEME)


def test_the_fingerprint_tells_masks_apart(tmp_path: Path) -> None:
    """Same voxels in another shape, or one voxel changed, are other masks; the prediction does not matter."""
    first = np.zeros((4, 6, 2), np.uint8)
    changed = first.copy()
    changed[0, 0, 0] = 1
    prints = [
        evaluate_case("c", array, np.zeros_like(array), (1.0, 1.0, 1.0), SCHEME).reference
        for array in (first, changed, first.reshape(2, 6, 4))
    ]
    assert len(set(prints)) == 3
    assert evaluate_case("c", np.asfortranarray(first), changed, (1.0, 1.0, 1.0), SCHEME).reference == prints[0]
