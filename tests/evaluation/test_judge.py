from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.compare.runs import open_runs
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.evaluation.judge import evaluate_folders
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.labels import load_scheme
from spine_ignite.locks import lock_folder

Writer = Callable[..., Path]
SCHEME = load_scheme("lumbar-vertebrae")


def test_a_prediction_is_judged_alike_in_every_order_of_voxels(tmp_path: Path, write_volume: Writer) -> None:
    """All 48 orders of axes and directions, as programs store one space; figures do not change by a bit."""
    rng = np.random.default_rng(0)
    reference = np.kron(rng.choice([0, 2, 3, 4], (3, 4, 2)), np.ones((2, 2, 2))).astype(np.uint8)
    found = np.where(rng.random(reference.shape) < 0.2, np.roll(reference, 2), reference)
    first = nib.load(write_volume(tmp_path / "first.nii.gz", found, spacing=(0.7, 0.9, 4)))
    (tmp_path / "predictions").mkdir()
    for number, (axes, signs) in enumerate(
        itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
    ):
        image = first.as_reoriented(np.array(list(zip(axes, signs, strict=True))))
        nib.save(image, tmp_path / "predictions" / f"{number}.nii.gz")
        write_volume(tmp_path / "labels" / f"{number}.nii.gz", reference, spacing=(0.7, 0.9, 4))
    summary = evaluate_folders(tmp_path / "predictions", tmp_path / "labels", SCHEME)
    assert len(summary.cases) == 48
    assert 0.3 < summary.cases[0].dice < 0.9
    assert len({repr((case.accuracy, [replace(c, case="") for c in case.classes])) for case in summary.cases}) == 1


def test_a_case_that_cannot_be_judged_is_named_and_the_others_are_judged(
    tmp_path: Path, write_volume: Writer, tiny_dataset: Path
) -> None:
    labels, out = tiny_dataset / "test" / "label", tmp_path / "out"
    shutil.copytree(labels, tmp_path / "predictions")
    (tmp_path / "predictions" / "mask_case5.nii.gz").write_bytes(b"broken")
    summary = evaluate_folders(tmp_path / "predictions", labels, SCHEME, out)
    assert [case.case for case in summary.cases] == ["6"]
    assert list(summary.failed) == ["5"]
    assert "mask_case5.nii.gz is not a readable NIfTI image" in summary.failed["5"]
    assert read_tables(out).failed == summary.failed
    evaluate_folders(labels, labels, SCHEME, tmp_path / "whole")
    with pytest.raises(DataError, match="judged on different cases: '5' only in"):
        open_runs([out, tmp_path / "whole"])
    (tmp_path / "predictions" / "mask_case6.nii.gz").write_bytes(b"broken")
    with pytest.raises(DataError, match="no case can be judged: .*mask_case5.nii.gz"):
        evaluate_folders(tmp_path / "predictions", labels, SCHEME, out)
    assert read_tables(out).failed == summary.failed, "the former tables stay"


def test_predictions_without_a_mask_are_told_and_masks_without_a_prediction_refused(
    tmp_path: Path, tiny_dataset: Path
) -> None:
    labels = tiny_dataset / "test" / "label"
    shutil.copytree(labels, tmp_path / "predictions")
    shutil.copy(labels / "mask_case5.nii.gz", tmp_path / "predictions" / "other_0000.nii.gz")
    told: list[str] = []
    assert len(evaluate_folders(tmp_path / "predictions", labels, SCHEME, echo=told.append).cases) == 2
    assert told == [
        f"1 predictions in {tmp_path / 'predictions'} have no mask in {labels} and are not judged, "
        "other_0000.nii.gz for one"
    ]
    (tmp_path / "predictions" / "mask_case6.nii.gz").unlink()
    with pytest.raises(DataError, match="1 of 2 masks have no prediction in .*, mask_case6.nii.gz for one"):
        evaluate_folders(tmp_path / "predictions", labels, SCHEME)


def test_two_evaluations_into_one_folder_do_not_mix(tmp_path: Path, tiny_dataset: Path) -> None:
    labels = tiny_dataset / "test" / "label"
    with lock_folder(tmp_path / "out", "is evaluating into it"), pytest.raises(RunError, match="out is in use"):
        evaluate_folders(labels, labels, SCHEME, tmp_path / "out")


def test_tables_of_others_are_not_written_over(tmp_path: Path, tiny_dataset: Path) -> None:
    labels, out = tiny_dataset / "test" / "label", tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for _ in range(2):
        evaluate_folders(labels, labels, SCHEME, out)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "cases.csv").write_text("mine")
    with pytest.raises(RunError, match="that spine-ignite did not make as an evaluation, cases.csv for one"):
        evaluate_folders(labels, labels, SCHEME, theirs)
    assert [(path / name).read_text() for path, name in ((out, "notes.txt"), (theirs, "cases.csv"))] == ["mine"] * 2
    for among in (labels, labels.parent, tiny_dataset):
        with pytest.raises(UsageError, match="--out .* the data, --labels"):
            evaluate_folders(labels, labels, SCHEME, among)
