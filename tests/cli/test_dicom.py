"""DICOM through the commands: what is read, what is said, and that no patient is named."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spine_ignite.cli import run
from spine_ignite.labels import load_scheme

pydicom = pytest.importorskip("pydicom")
Writer = Callable[..., Path]

# Sagittal slices of 1 x 1 mm, rows towards posterior, columns towards the feet.
AFFINE = np.array([[0.0, 0, 4, -10], [-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 0, 1]])


def image(seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 1000, (48, 64, 6)).astype(np.uint16)


@dataclass
class Said:
    """What a command has said, on stdout and stderr, and its exit code."""

    code: int
    output: str


Command = Callable[..., Said]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    def call(*args: object) -> Said:
        code = run([str(arg) for arg in args])
        return Said(code, "".join(capfd.readouterr()))

    return call


def written(folder: Path) -> bytes:
    """The names and the contents of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\n".join(str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes() for path in files)


@pytest.fixture
def exam(tmp_path: Path, write_series: Writer) -> Path:
    """A study of two sagittal series, in folders that are called as the patient is."""
    secret = tmp_path / "exam" / "SECRET_NAME"
    write_series(secret / "SECRET-ID-77", image(0), AFFINE, named="SECRET{}")
    write_series(secret / "t1", image(1), AFFINE, SeriesNumber=5, SeriesDescription="T1 Secret Name", EchoTime=9)
    return tmp_path / "exam"


def test_predict_reads_dicom_and_names_no_patient(
    command: Command, exam: Path, tmp_path: Path, write_run: Writer
) -> None:
    network, out = write_run(tmp_path / "run"), tmp_path / "out"
    result = command("predict", network, exam, "-o", out)
    assert result.code == 0, result.output
    assert f"Note: of the 2 series in {exam}, series 4 't2 tse sag' is read" in result.output
    labels = nib.load(out / "exam.nii.gz")
    assert labels.shape == (48, 64, 6)
    np.testing.assert_allclose(labels.affine, AFFINE, atol=1e-4)
    result = command(
        "predict", network, exam, "-o", out, "--series", "all", "--uncertainty", "--json", "--skip-existing"
    )
    assert result.code == 0, result.output
    names = {"exam.nii.gz", "exam-series-4.nii.gz", "exam-series-5.nii.gz"}
    assert {path.name for path in out.glob("*.nii.gz")} == names
    again = command("predict", network, exam, "-o", out, "--series", "4", "--skip-existing")
    assert "0 label volumes written" in again.output
    assert "1 were there already" in again.output
    (exam / "SECRET_NAME" / "t1" / "IM0003").unlink()
    broken = command("predict", network, exam, "-o", out, "--series", "5")
    assert broken.code == 1
    assert f"Error: series 5 of {exam} lacks 1 slice (images 2 and 4 are 8 mm apart, others 4)" in broken.output
    said = [step.output.encode() for step in (result, again, broken)]
    for text in (*said, written(out)):
        assert b"secret" not in text.lower()
        assert b"19010203" not in text
        assert b"1.2.826" not in text  # of every UID


def test_segmentations_hold_the_voxels_of_the_label_volumes(
    command: Command, exam: Path, tmp_path: Path, write_run: Writer, write_volume: Writer
) -> None:
    highdicom = pytest.importorskip("highdicom")
    network, out = write_run(tmp_path / "run"), tmp_path / "out"
    result = command("predict", network, exam, "-o", out, "--dicom-seg", "--postprocess", "none")
    assert result.code == 0, result.output
    labels = nib.load(out / "exam.nii.gz")
    values, scheme = np.asarray(labels.dataobj), load_scheme("lumbar-vertebrae")
    segmentation = highdicom.seg.segread(out / "dicom-seg" / "exam.dcm")
    names = [segmentation.get_segment_description(n).segment_label for n in segmentation.segment_numbers]
    assert names == [c.name for c in scheme.classes[1:] if (values == c.value).any()]
    for number, name in zip(segmentation.segment_numbers, names, strict=True):
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, rescale_fractional=False)
        ours = values == next(c.value for c in scheme.classes if c.name == name)
        # (slice, row, column) to (column, row, slice), and LPS to RAS.
        to_ours = np.linalg.inv(labels.affine) @ np.diag([-1, -1, 1, 1]) @ volume.affine
        places = np.rint(nib.affines.apply_affine(to_ours, np.argwhere(volume.array))).astype(int)
        found = np.zeros_like(ours)
        found[tuple(places.T)] = True
        np.testing.assert_array_equal(found, ours)
    again = command("predict", network, exam, "-o", out, "--dicom-seg", "--postprocess", "none", "--skip-existing")
    assert "1 were there already" in again.output
    scan = write_volume(tmp_path / "scan.nii.gz", image())
    refused = command("predict", network, scan, "-o", out, "--dicom-seg")
    assert refused.code == 1
    assert f"Error: {scan} is not DICOM, and a DICOM segmentation refers to its series; leave out" in refused.output
    assert not (out / "scan.nii.gz").exists()


def test_a_segmentation_that_was_corrected_is_not_replaced(
    command: Command, exam: Path, tmp_path: Path, write_run: Writer
) -> None:
    pytest.importorskip("highdicom")
    network, out = write_run(tmp_path / "run"), tmp_path / "out"
    ask = ("predict", network, exam, "-o", out, "--postprocess", "none")
    seg = out / "dicom-seg" / "exam.dcm"

    def is_kept(content: bytes) -> None:
        seg.parent.mkdir(parents=True, exist_ok=True)
        seg.write_bytes(content)
        before = written(out)
        for more in ((), ("--skip-existing",)):
            refused = command(*ask, "--dicom-seg", *more)
            assert refused.code == 1
            assert f"Error: {seg} is not as predict wrote it, corrected by hand for all that is known" in refused.output
            assert written(out) == before
        seg.unlink()

    is_kept(b"of another tool")
    assert command(*ask, "--dicom-seg").code == 0
    is_kept(seg.read_bytes() + b"\0\0")
    assert command(*ask, "--dicom-seg").code == 0
    assert command(*ask, "--dicom-seg").code == 0, "it is ours"
    ours = seg.read_bytes()
    assert command(*ask).code == 0, "without a segmentation, which stays"
    assert seg.read_bytes() == ours
    assert command(*ask, "--dicom-seg").code == 0, "still ours"


def test_a_prediction_of_nothing_leaves_no_maps(
    command: Command, exam: Path, tmp_path: Path, write_run: Writer
) -> None:
    pytest.importorskip("highdicom")
    network, out = write_run(tmp_path / "run"), tmp_path / "out"
    best = network / "checkpoints" / "best.pt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["model"] = {name: torch.zeros_like(value) for name, value in checkpoint["model"].items()}
    torch.save(checkpoint, best)
    refused = command("predict", network, exam, "-o", out, "--dicom-seg", "--uncertainty", "--probabilities")
    assert refused.code == 1
    assert "nothing is labelled" in refused.output
    assert not [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_check_and_preprocess_take_dicom(command: Command, exam: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "exam.zip", "w") as archive:
        for file in exam.rglob("*"):
            archive.write(file, file.relative_to(exam))
    for source in (exam, tmp_path / "exam.zip"):
        checked = command("check", source)
        assert checked.code == 0, checked.output
        assert "48x64x6 (1)" in checked.output
        assert "1x1x4 mm (1)" in checked.output
        store = tmp_path / f"store-{source.suffix}"
        done = command("preprocess", source, "--set", f"data.cache={store}")
        assert done.code == 0, done.output
        assert "Cases: 1 built, 0 reused, 0 removed" in done.output
        assert "Cases: 0 built, 1 reused" in command("preprocess", source, "--set", f"data.cache={store}").output
        for text in (checked.output.encode(), done.output.encode(), written(store)):
            assert b"secret" not in text.lower()
    (exam / "SECRET_NAME" / "SECRET-ID-77" / "SECRET3").unlink()
    checked = command("check", exam, "--json")
    assert checked.code == 1
    assert "lacks 1 slice (images 2 and 4" in checked.output


def test_folders_and_zips_of_dicom_are_images_of_a_dataset(
    command: Command, tmp_path: Path, write_series: Writer
) -> None:
    root = tmp_path / "data"
    for number in (1, 2):
        folder = write_series(root / "train" / "source" / f"Case{number}" / "s", image(number), AFFINE)
        label = nib.Nifti1Image((image(number) > 500).astype(np.uint8) * 2, AFFINE)
        (root / "train" / "label").mkdir(exist_ok=True)
        nib.save(label, root / "train" / "label" / f"mask_case{number}.nii.gz")
    with zipfile.ZipFile(root / "train" / "source" / "Case2.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
            file.unlink()
    result = command("check", root, "--set", "data.scheme=lumbar-vertebrae")
    assert result.code == 0, result.output
    assert "2 train cases" in result.output
    assert "0 in 2, 2 in 2" in result.output
    done = command("preprocess", root, "--set", "data.scheme=lumbar-vertebrae")
    assert done.code == 0, done.output
    assert "Cases: 2 built" in done.output
    packed = root / "train" / "source" / "Case2.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("IM1", bytes(128) + b"DICM" + bytes(range(256)))
        begin = archive.getinfo("IM1").header_offset + 30 + len("IM1")
    data = bytearray(packed.read_bytes())
    data[begin : begin + 40] = b"\xff" * 40
    packed.write_bytes(data)
    result = command("check", root, "--set", "data.scheme=lumbar-vertebrae", "--json")
    assert result.code == 1
    assert [(p["case"], p["message"]) for p in json.loads(result.output)["problems"]] == [
        ("2", "holds no image of DICOM that can be read, but 1 truncated or corrupt file")
    ]


def test_ten_thousand_files_of_which_none_is_an_image(command: Command, tmp_path: Path, write_run: Writer) -> None:
    network, folder = write_run(tmp_path / "run"), tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        os.symlink("/dev/null", folder / f"link{number}") if number % 2 else (folder / f"{number}.dat").write_bytes(
            b"x"
        )
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}.dat", b"x" * 200)
    result = command("predict", network, folder, "-o", tmp_path / "out")
    assert result.code == 1
    assert f"folder {folder} holds neither volumes nor a dataset: 5000 files in {folder} are not read" in result.output
    result = command("predict", network, tmp_path / "many.zip", "-o", tmp_path / "out")
    assert result.code == 1
    assert f"Error: {tmp_path / 'many.zip'} holds no image of DICOM\n" in result.output
    assert f"Error: {tmp_path / 'many.zip'} holds no image of DICOM\n" in command("check", tmp_path / "many.zip").output
    (tmp_path / "cut.zip").write_bytes((tmp_path / "many.zip").read_bytes()[:-100])
    cut = f"Error: {tmp_path / 'cut.zip'} is not a readable zip: it is truncated or corrupt\n"
    for name in ("check", "predict"):
        rest = (network, tmp_path / "cut.zip", "-o", tmp_path / "out") if name == "predict" else (tmp_path / "cut.zip",)
        assert cut in command(name, *rest).output
    assert not (tmp_path / "out").exists()


def test_series_are_those_of_dicom_alone(
    command: Command, tmp_path: Path, write_run: Writer, write_volume: Writer
) -> None:
    network, scan = write_run(tmp_path / "run"), write_volume(tmp_path / "scan.nii.gz", image())
    result = command("predict", network, scan, "-o", tmp_path / "out", "--series", "4")
    assert result.code == 2
    assert f"{scan} is not DICOM, and --series is for DICOM alone" in result.output
