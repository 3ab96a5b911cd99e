from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.datasets.case_ids import case_id, natural_order


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("Case1.nii.gz", "mask_case1.nii.gz"),
        ("Case007.nii.gz", "mask_case7.nii"),
        ("subj-A.nii.gz", "mask_subj-a.nii.gz"),
        ("Case12.mha", "CASE12.nii.gz"),
        ("Case3.nii.gz", "case_03_mask.nii.gz"),
        ("sub-01_T2w.nii.gz", "sub-01_T2w_dseg.nii.gz"),
        ("scan.mha", "label-scan.nii.gz"),
        ("scan_label.nii.gz", "scan-labels.nii"),
        ("scan.nii.gz", "scan_seg.nii.gz"),
    ],
)
def test_an_image_and_its_mask_share_an_id(image: str, label: str) -> None:
    assert case_id(Path(image)) == case_id(Path(label))


def test_natural_order() -> None:
    assert sorted(["case10", "case9", "a", "case9b"], key=natural_order) == ["a", "case9", "case9b", "case10"]
    assert sorted(["case²", "case1"], key=natural_order) == ["case1", "case²"], "a superscript is no number"
