"""Segmentations of a source with many frames in one file, read back by highdicom, dcmqi and ourselves."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.labels import load_scheme
from spine_ignite.volumes.dicom.segmentations import write_segmentation
from spine_ignite.volumes.reader import read

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
Writer = Callable[..., Path]
Points = set[tuple[float, ...]]
DCMQI = shutil.which("segimage2itkimage") or shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent))
SCHEME = load_scheme("spine")
NAMES = {2: "L6", 3: "L5", 42: "canal"}
SLICES = 9
LPS = np.diag([-1, -1, 1, 1])
# Sagittal slices from left to right, a little oblique in the plane.
AFFINE = np.array([[0, 0, 4, -16], [-0.7, 0.1, 0, 40.2], [-0.1, -0.7, 0, 60.1], [0, 0, 0, 1]], float)


def labels() -> NDArray[np.uint8]:
    """Blocks that differ from slice to slice, and nothing in the first two slices and the last three."""
    values = np.zeros((24, 40, SLICES), np.uint8)
    for k in range(2, SLICES - 3):
        values[4 : 8 + k, 2:9, k] = 2
    values[4:12, 12:20, 2:5] = 3
    values[13:16, 2:38, 4:6] = 42
    return values


def world(mask: NDArray[Any], affine: NDArray[np.float64]) -> Points:
    """Centres of the voxels of a mask in tenths of a mm."""
    return {tuple(point) for point in np.rint(10 * nib.affines.apply_affine(affine, np.argwhere(mask)))}


@pytest.fixture
def series(tmp_path: Path, write_series: Writer) -> Path:
    array = np.random.default_rng(1).integers(0, 900, (24, 40, SLICES)).astype(np.uint16)
    return write_series(tmp_path / "study" / "series", array, AFFINE)


def two_echoes(file: Path) -> None:
    """Add every frame once more, with a later echo and other grey values."""
    header = pydicom.dcmread(file)
    frames = list(header.PerFrameFunctionalGroupsSequence)
    later = copy.deepcopy(frames)
    for part, time in ((frames, 20.0), (later, 80.0)):
        for frame in part:
            echo = pydicom.Dataset()
            echo.EffectiveEchoTime = time
            frame.MREchoSequence = [echo]
    header.PerFrameFunctionalGroupsSequence = [*frames, *later]
    header.NumberOfFrames = 2 * len(frames)
    other = (np.frombuffer(header.PixelData, np.uint16) // 2).tobytes()
    header.PixelData = header.PixelData + other
    header.save_as(file)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("key", ["", "#4b"])
def test_each_program_reads_the_voxels_where_the_frames_are(
    series: Path, tmp_path: Path, put_into_frames: Callable[..., None], reverse: bool, key: str
) -> None:
    source, out = tmp_path / "many" / "frames.dcm", tmp_path / "dcmqi"
    put_into_frames(series, source, reverse)
    if key:
        two_echoes(source)
    stored = read(tmp_path / f"many{key}", None)
    assert stored.array.shape == labels().shape
    values = labels() if np.allclose(stored.affine, AFFINE, atol=1e-4) else labels()[:, :, ::-1]
    write_segmentation(tmp_path / "seg.dcm", values, tmp_path / f"many{key}", SCHEME, "unet")
    wanted = {name: world(values == value, stored.affine) for value, name in NAMES.items()}
    assert wanted == {name: world(labels() == value, AFFINE) for value, name in NAMES.items()}

    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm")
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, rescale_fractional=False)
        name = segmentation.get_segment_description(number).segment_label
        assert world(volume.array, LPS @ volume.affine) == wanted[name]

    again = read(tmp_path / "seg.dcm", None)
    np.testing.assert_array_equal(again.array, values)
    np.testing.assert_allclose(again.affine, stored.affine, atol=1e-4)

    header, frames = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(source).PerFrameFunctionalGroupsSequence
    for frame in header.PerFrameFunctionalGroupsSequence:
        referred = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert referred.ReferencedSOPInstanceUID == pydicom.dcmread(source).SOPInstanceUID
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        its_own = frames[int(referred.ReferencedFrameNumber) - 1]
        assert np.allclose(its_own.PlanePositionSequence[0].ImagePositionPatient, place, atol=1e-4)
        if key:
            assert its_own.MREchoSequence[0].EffectiveEchoTime == 80

    if DCMQI is None:
        pytest.skip("dcmqi is not installed")
    out.mkdir()
    command = [DCMQI, "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", out, "--outputType", "nii"]
    subprocess.run([*command, "--prefix", "x"], check=True, capture_output=True)
    for number in segmentation.segment_numbers:
        image = nib.load(out / f"x-{number}.nii.gz")
        name = segmentation.get_segment_description(number).segment_label
        assert world(np.asarray(image.dataobj) > 0, image.affine) == wanted[name]
