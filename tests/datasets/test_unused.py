from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.cli import run
from spine_ignite.datasets.checks import check_dataset
from spine_ignite.labels import load_scheme


def test_every_file_is_part_of_a_case_or_of_a_problem_or_told_with_its_reason(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    root = tiny_dataset
    image = nib.load(root / "train/source/Case1.nii.gz")
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), root / "train/source/Case1.hdr")
    (root / "train/source/Case1.nii.gz").unlink()  # its .img is used with its header
    for name in (
        *("old/Case1.nii.gz", "train/Case8.mha", "train/source/._Case1.nii.gz", "train/source/Case2.mnc"),
        *("train/source/Case9.img", "train/source/Case2.json", "train/label/lone.raw", "splits_final.json"),
        *("notes.docx", ".spine-ignite-cache/ab/manifest.json", "train/label/x.png", "train/label/y.png"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    shutil.copy(root / "train/source/Case3.nii.gz", root / "train/source/Case10.nii.gz")  # a problem: without a mask
    (root / "elsewhere").symlink_to(tmp_path)
    report = check_dataset(root, load_scheme("lumbar-vertebrae"))
    on_request = "tables and descriptions, read where a key names them (data.scheme, data.split, data.patients)"
    other = "volumes in a folder that the layout mrspineseg does not read"
    assert {(str(g.folder.relative_to(root)), g.why): [p.name for p in g.files] for g in report.unused} == {
        (".", "a link to a folder, which is not followed"): ["elsewhere"],
        (".", on_request): ["splits_final.json"],
        (".", "no volumes"): ["notes.docx"],
        ("old", other): ["Case1.nii.gz"],
        ("train", other): ["Case8.mha"],
        ("train/label", "voxels whose header is not used"): ["lone.raw"],
        ("train/label", "no volumes"): ["x.png", "y.png"],
        ("train/source", "hidden: the name begins with . or ~"): ["._Case1.nii.gz"],
        ("train/source", "a format that is not read"): ["Case2.mnc"],
        ("train/source", on_request): ["Case2.json"],
    }
    assert [p.file.name for p in report.problems if p.file] == ["Case10.nii.gz", "Case9.img"]


def test_a_dataset_without_other_files_has_none(tiny_dataset: Path) -> None:
    assert check_dataset(tiny_dataset, load_scheme("lumbar-vertebrae")).unused == ()


def test_dicom_that_no_case_reads_is_counted_and_not_named(
    tiny_dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("old/DOE^JANE/1/IM1", "old/DOE^JANE/1/IM2", "train/source/DOE^JANE.dcm"):
        (tiny_dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (tiny_dataset / name).write_bytes(bytes(128) + b"DICM")
    (tiny_dataset / "old/DOE^JANE/1/DOE.docx").touch()
    (tiny_dataset / "old/notes.docx").touch()
    report = check_dataset(tiny_dataset, load_scheme("lumbar-vertebrae"))
    why = "DICOM that no case reads, and what lies beside it"
    assert [(str(g.folder.relative_to(tiny_dataset)), len(g.files), g.names, g.why) for g in report.unused] == [
        ("old", 4, (), why),
        ("train", 1, (), why),
    ]
    for options in ([], ["--json"]):
        assert run(["check", str(tiny_dataset), "--set", "data.scheme=lumbar-vertebrae", *options]) == 1
        said = "".join(capfd.readouterr())
        assert "holds 1 file of DICOM that no case reads" in " ".join(said.split())
        assert "doe" not in said.lower()
