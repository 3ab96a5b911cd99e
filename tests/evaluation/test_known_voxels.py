"""References that leave voxels open, or declare some of the classes alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spine_ignite.errors import UsageError
from spine_ignite.evaluation.case_results import CaseResult, evaluate_case
from spine_ignite.evaluation.judge import evaluate, evaluate_folders
from spine_ignite.evaluation.judged_cases import judged_cases
from spine_ignite.evaluation.known_voxels import voxel_confusion
from spine_ignite.evaluation.pairs import evaluate_volumes
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.labels import IGNORE, load_scheme
from spine_ignite.report.page import write_report
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.training.metrics import SegmentationConfusion, judgeable
from spine_ignite.volumes.volume import Volume

Writer = Callable[..., Path]
Indices = NDArray[np.uint8]
SCHEME = load_scheme("lumbar-vertebrae")
SPACING = (1.0, 1.0, 4.0)
LABELLED = (True, True, False, True, False, *[False] * (SCHEME.num_classes - 5))


def example(seed: int) -> tuple[Indices, Indices]:
    """A reference that holds declared classes alone, some voxels to be ignored, and a prediction of five classes."""
    rng = np.random.default_rng(seed)
    reference = rng.choice([0, 1, 3, IGNORE], (6, 5, 4), p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
    return reference, rng.integers(0, 5, reference.shape).astype(np.uint8)


def figures(result: CaseResult) -> Any:
    return [[*found.to_dict().values()][2:] for found in result.classes], result.accuracy, result.level_rate


@settings(max_examples=40)
@given(seed=st.integers(0, 9999))
def test_what_is_ignored_has_no_say(seed: int) -> None:
    reference, prediction = example(seed)
    expected = figures(evaluate_case("c", reference, prediction, SPACING, SCHEME))
    other = np.where(reference == IGNORE, np.random.default_rng(seed + 1).integers(0, 5, reference.shape), prediction)
    np.testing.assert_equal(figures(evaluate_case("c", reference, other.astype(np.uint8), SPACING, SCHEME)), expected)


@settings(max_examples=40)
@given(seed=st.integers(0, 9999))
def test_undeclared_classes_are_neither_right_nor_wrong(seed: int) -> None:
    """Voxel by voxel: on a declared structure they are a miss, in the background nothing is known of them."""
    reference, prediction = example(seed)
    result = evaluate_case("c", reference, prediction, SPACING, SCHEME, labelled=LABELLED)
    pairs = [
        (int(truth), int(found) if LABELLED[found] else 0)
        for truth, found in zip(reference.ravel(), prediction.ravel(), strict=True)
        if truth != IGNORE and (LABELLED[found] or truth != 0)
    ]
    assert [found.label for found in result.classes] == [SCHEME.names[1], SCHEME.names[3]]
    for found, index in zip(result.classes, (1, 3), strict=True):
        tp = sum(pair == (index, index) for pair in pairs)
        fp = sum(guess == index for _, guess in pairs) - tp
        fn = sum(truth == index for truth, _ in pairs) - tp
        assert found.dice == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert found.precision == pytest.approx(tp / (tp + fp))
        assert found.recall == pytest.approx(tp / (tp + fn))
        assert found.fpr == pytest.approx(fp / (len(pairs) - tp - fn))
    assert result.accuracy == pytest.approx(np.mean([truth == guess for truth, guess in pairs]))
    # Where a class is undeclared the figures are those of a network that does not know it, but for the background.
    without = np.where(np.isin(prediction, (2, 4)), 0, prediction).astype(np.uint8)
    plain = evaluate_case("c", reference, without, SPACING, SCHEME)
    for one, other in zip(result.classes, plain.classes, strict=True):
        for measure in ("dice", "precision", "recall", "hd95", "assd", "nsd"):
            assert getattr(one, measure) == pytest.approx(getattr(other, measure))


@given(seed=st.integers(0, 9999))
def test_validation_counts_alike(seed: int) -> None:
    reference, prediction = example(seed)
    confusion = SegmentationConfusion(SCHEME.num_classes)
    label, found = torch.from_numpy(reference), torch.from_numpy(prediction).long()
    labelled = torch.tensor(LABELLED).expand(len(label), -1)
    confusion.update(judgeable(found, label, labelled))
    ours = voxel_confusion(reference, prediction, SCHEME.num_classes, LABELLED)
    np.testing.assert_array_equal(ours, confusion.confusion_matrix.numpy())


def test_nothing_known_is_no_accuracy() -> None:
    nothing = np.full((2, 2, 2), IGNORE, np.uint8)
    result = evaluate_case("c", nothing, np.zeros_like(nothing), SPACING, SCHEME)
    assert np.isnan(result.accuracy)
    assert result.classes == ()


def test_references_that_declare_other_classes_are_other_references() -> None:
    reference, prediction = example(0)
    prints = [
        evaluate_case("c", reference, prediction, SPACING, SCHEME, labelled=labelled).reference
        for labelled in (None, LABELLED)
    ]
    assert prints[0] != prints[1]


def test_predictions_in_a_larger_scheme_are_judged_by_what_the_references_have(
    tmp_path: Path, write_volume: Writer
) -> None:
    """L5, L4 and the disc between them of `spine`, by a mask of the vertebrae alone, in its own numbers."""
    spine = load_scheme("spine")
    predicted, mask = np.zeros((2, 8, 9, 3), np.uint8)
    values = dict(zip(spine.names, spine.values, strict=True))
    own = dict(zip(SCHEME.names, SCHEME.values, strict=True))
    predicted[1:7, 0:3], predicted[1:7, 3:6], predicted[1:7, 6:9] = values["L5"], values["L4/L5"], values["L4"]
    mask[1:7, 0:3], mask[1:7, 6:9] = own["L5"], own["L4"]
    mask[1:7, 3] = own["L5"]
    write_volume(tmp_path / "found" / "case1.nii.gz", predicted)
    write_volume(tmp_path / "labels" / "case1.nii.gz", mask)
    told: list[str] = []
    out = tmp_path / "out"
    summary = evaluate_folders(tmp_path / "found", tmp_path / "labels", spine, out, SCHEME, echo=told.append)
    assert {c.label: c.means["dice"] for c in summary.classes} == pytest.approx({"L5": 2 * 3 / 7, "L4": 1.0})
    assert summary.means["level_rate"] == 1.0
    assert "labels L5, L4" in told[0]
    assert "read from the scheme 'lumbar-vertebrae'" in told[0]
    assert read_tables(out).settings["notes"] == told
    volumes = [Volume(array, np.eye(4), tmp_path / "x") for array in (predicted, mask)]
    in_memory = evaluate_volumes([("case1", volumes[0], volumes[1])], spine, masks=SCHEME)
    assert in_memory.means["dice"] == pytest.approx(summary.means["dice"])
    discs = replace(SCHEME, name="none", classes=tuple(replace(c, name=f"x{c.name}") for c in SCHEME.classes))
    with pytest.raises(UsageError, match="masks in the scheme 'none' have no structure of 'spine'"):
        evaluate_folders(tmp_path / "found", tmp_path / "labels", spine, masks=discs)


def test_a_run_reads_masks_as_it_was_trained_and_those_of_other_data_in_their_scheme(
    tiny_dataset: Path, tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    """A network in 44 classes, trained on masks of vertebrae, judged by such masks; the page shows the same cases."""
    overrides = [f"data.root={tiny_dataset}", "data.scheme=spine", "data.masks=lumbar-vertebrae"]
    run = write_run(tmp_path / "run", *overrides)
    told: list[str] = []
    summary = evaluate(run, echo=told.append)
    assert "but not S, L6" in told[0]
    declared = [name for name in SCHEME.names[1:] if name in summary.names]
    assert {c.label for c in summary.classes} <= set(declared)
    assert not write_report(run, tmp_path / "page.html").problems
    for kind, there in (("source", "images"), ("label", "masks")):
        shutil.copytree(tiny_dataset / "test" / kind, tmp_path / "later" / there)
    with pytest.raises(UsageError, match="--masks is for those of --data"):
        evaluate(run, masks=SCHEME)
    again = evaluate(run, data=tmp_path / "later", masks=SCHEME, out=tmp_path / "out")
    assert again.settings["masks"]["name"] == "lumbar-vertebrae"
    assert again.means == pytest.approx(summary.means, nan_ok=True)
    assert judged_cases([RunDirectory(run)], "test", tmp_path / "later").sources[0].mapping.source == SCHEME
