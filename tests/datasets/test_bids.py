from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite.datasets.bids import bids_name
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pairs(root: Path) -> list[tuple[str, str, str | None]]:
    dataset, problems = find_cases(root)
    assert (dataset.layout, problems) == ("bids", [])
    return [(c.name, c.split, c.label.name if c.label else None) for c in dataset.cases]


def test_masks_are_matched_by_entities(tmp_path: Path) -> None:
    """Sessions, a mask in a space of its own name, an image without a mask, and files that are no anatomy."""
    touch(
        tmp_path,
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_T2w.json",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-sag_T1w.nii.gz",
        "sub-03/anat/sub-03_T2w.nii.gz",
        "sub-03/anat/sub-03_MESE.nii.gz",
        "sub-03/func/sub-03_task-rest_bold.nii.gz",
        "derivatives/labels/sub-01/anat/sub-01_space-orig_desc-manual_dseg.nii.gz",
        "derivatives/labels/sub-02/ses-a/anat/sub-02_ses-a_acq-sag_dseg.nii.gz",
        "derivatives/labels/sub-01/anat/sub-01_label-canal_mask.nii.gz",
    )
    assert pairs(tmp_path) == [
        ("sub-03_T2w", "test", None),
        ("sub-01_T2w", "train", "sub-01_space-orig_desc-manual_dseg.nii.gz"),
        ("sub-02_ses-a_acq-sag_T1w", "train", "sub-02_ses-a_acq-sag_dseg.nii.gz"),
    ]
    (tmp_path / "participants.tsv").write_text("participant_id\tsplit\nsub-01\ttest\nsub-02\ttrain\nsub-03\tn/a\n")
    assert [(name, part) for name, part, _ in pairs(tmp_path)][1:] == [
        ("sub-03_T2w", "test"),
        ("sub-02_ses-a_acq-sag_T1w", "train"),
    ]
    (tmp_path / "participants.tsv").write_text("participant_id\tsplit\nsub-01\tleft\n")
    with pytest.raises(DataError, match="puts sub-01 into 'left'; expected train or test in the column 'split'"):
        find_cases(tmp_path)


def test_one_mask_of_two_contrasts_needs_its_source(tmp_path: Path) -> None:
    mask = "derivatives/labels/sub-1/anat/sub-1_dseg"
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz", f"{mask}.nii.gz")
    with pytest.raises(DataError, match=r"may be the mask of sub-1_T1w.nii.gz and sub-1_T2w.nii.gz; name its image"):
        find_cases(tmp_path)
    for source in ("bids:raw:sub-1/anat/sub-1_T2w.nii.gz", "bids::sub-1/anat/sub-1_T2w.nii.gz"):
        (tmp_path / f"{mask}.json").write_text(json.dumps({"Sources": [source]}))
        assert [(name, label) for name, _, label in pairs(tmp_path)] == [
            ("sub-1_T1w", None),
            ("sub-1_T2w", "sub-1_dseg.nii.gz"),
        ]
    (tmp_path / f"{mask}.nii.gz").rename(tmp_path / f"{mask.replace('_dseg', '_desc-T1w_dseg')}.nii.gz")
    assert ("sub-1_T1w", "train", "sub-1_desc-T1w_dseg.nii.gz") in pairs(tmp_path)


def test_a_mask_may_have_the_whole_name_of_its_image(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz")
    touch(tmp_path, "derivatives/labels/sub-1/anat/sub-1_T2w_dseg.nii.gz")
    assert pairs(tmp_path) == [("sub-1_T1w", "test", None), ("sub-1_T2w", "train", "sub-1_T2w_dseg.nii.gz")]


def test_a_mask_too_many_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "derivatives/a/sub-1/anat/sub-1_dseg.nii.gz")
    touch(tmp_path, "derivatives/b/sub-1/anat/sub-1_desc-x_dseg.nii.gz")
    with pytest.raises(DataError, match="has two masks, .*derivatives/a.* and .*derivatives/b.*; keep one"):
        find_cases(tmp_path)
    (tmp_path / "derivatives/b/sub-1/anat/sub-1_desc-x_dseg.nii.gz").unlink()
    touch(tmp_path, "derivatives/b/sub-9/anat/sub-9_dseg.nii.gz")
    with pytest.raises(DataError, match="sub-9_dseg.nii.gz is a mask without an image"):
        find_cases(tmp_path)


def test_names() -> None:
    name = bids_name("sub-01_ses-2_desc-T2w_dseg")
    assert name is not None
    assert (name.of_image, name.suffix) == ((("sub", "01"), ("ses", "2")), "dseg")
    assert [bids_name(stem) for stem in ("T1w", "sub-_T1w", "12_t1", "sub-1_T1w-x")] == [None] * 4
