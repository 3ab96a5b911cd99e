"""Segmentations, read back by highdicom and by dcmqi, which share no code with each other."""

from __future__ import annotations

import json
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

from spine_ignite.anatomy.measure_files import measure_files, write_measurements
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.volumes.dicom.codes import code_of
from spine_ignite.volumes.dicom.segmentations import require_series, write_segmentation
from spine_ignite.volumes.digests import file_sha256, volume_sha256
from spine_ignite.volumes.label_description import scheme_in
from spine_ignite.volumes.reader import read

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
Writer = Callable[..., Path]
DCMQI = shutil.which("segimage2itkimage") or shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent))
SCHEME = load_scheme("spine")
# Oblique sagittal slices, as from a scanner.
AFFINE = np.array([[0.05, 0.02, 3.96, -20.5], [-0.69, 0.1, 0.33, 40.25], [0.1, 0.69, -0.2, 60.125], [0, 0, 0, 1]])


def squared(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest affine whose axes are at right angles."""
    u, _, vt = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    result = affine.copy()
    result[:3, :3] = (u @ vt) * np.linalg.norm(affine[:3, :3], axis=0)
    return result


def labels() -> NDArray[np.uint8]:
    """Blocks of an L5, an L6, two discs and a canal; no slice has all, and the first has none."""
    values = np.zeros((24, 40, 7), np.uint8)
    values[4:12, 2:9, 2:6] = 2
    values[4:12, 12:20, 1:5] = 3
    values[4:12, 9:12, 2:4] = 23
    values[4:12, 20:23, 3:4] = 24
    values[13:16, 2:38, 3:5] = 42
    return values


@pytest.fixture
def series(tmp_path: Path, write_series: Writer) -> Path:
    array = np.random.default_rng(1).integers(0, 900, (24, 40, 7)).astype(np.uint16)
    return write_series(tmp_path / "study" / "series", array, squared(AFFINE), order=(4, 2, 0, 1, 3, 5, 6))


@pytest.fixture
def written(series: Path, tmp_path: Path) -> tuple[Path, NDArray[np.uint8], NDArray[np.float64]]:
    """A segmentation, and the values and the affine that it is of, on the grid on which the series is read."""
    stored = read(series, None)
    flipped = np.linalg.det(stored.affine[:3, :3]) * np.linalg.det(AFFINE[:3, :3]) < 0
    values = labels()[:, :, ::-1] if flipped else labels()
    write_segmentation(tmp_path / "seg.dcm", values, series, SCHEME, "unet")
    return tmp_path / "seg.dcm", values, stored.affine


def test_highdicom_reads_back_what_was_written(series: Path, written: Any) -> None:
    file, values, affine = written
    segmentation = highdicom.seg.segread(file)
    names = [segmentation.get_segment_description(n).segment_label for n in segmentation.segment_numbers]
    assert names == ["L6", "L5", "L5/L6", "L4/L5", "canal"]
    for number, name in zip(segmentation.segment_numbers, names, strict=True):
        value = next(c.value for c in SCHEME.classes if c.name == name)
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, rescale_fractional=False)
        found = {tuple(point) for point in _world(volume.array, np.diag([-1, -1, 1, 1]) @ volume.affine)}
        assert found == {tuple(point) for point in _world(values == value, affine)}
    known = {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}
    referred = {
        item.ReferencedSOPInstanceUID for item in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referred == known
    source = pydicom.dcmread(next(series.iterdir()))
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert segmentation[name].value == source[name].value
    assert segmentation.SeriesInstanceUID != source.SeriesInstanceUID
    assert segmentation.SeriesNumber == 1004


def _world(mask: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of the voxels of a mask in tenths of a mm."""
    return np.rint(10 * nib.affines.apply_affine(affine, np.argwhere(mask)))


@pytest.mark.skipif(DCMQI is None, reason="dcmqi is not installed")
def test_dcmqi_reads_the_same_voxels_names_codes_and_colours(written: Any, tmp_path: Path) -> None:
    file, values, affine = written
    out = tmp_path / "dcmqi"
    out.mkdir()
    command = [DCMQI, "--inputDICOM", file, "--outputDirectory", out, "--outputType", "nii", "--prefix", "x"]
    subprocess.run(command, check=True, capture_output=True)
    about = json.loads((out / "x-meta.json").read_text())
    segments = [segment for group in about["segmentAttributes"] for segment in group]
    codes = {}
    for segment in segments:
        number, name = segment["labelID"], segment["SegmentLabel"]
        structure = next(c for c in SCHEME.classes if c.name == name)
        image = nib.load(out / f"x-{number}.nii.gz")
        found = {tuple(point) for point in _world(np.asarray(image.dataobj) > 0, image.affine)}
        assert found == {tuple(point) for point in _world(values == structure.value, affine)}
        kind = segment["SegmentedPropertyTypeCodeSequence"]
        codes[name] = (kind["CodingSchemeDesignator"], kind["CodeValue"], kind["CodeMeaning"])
        # L*a*b* on 16 bits holds a colour to one step of 256.
        assert np.abs(np.array(segment["recommendedDisplayRGBValue"]) - structure.color).max() <= 2
    assert codes == {
        "L6": ("SCT", "51282000", "Vertebra"),
        "L5": ("SCT", "49668003", "L5 vertebra"),
        "L5/L6": ("99SPINEIGNITE", "value-23", "L5/L6"),
        "L4/L5": ("SCT", "84020006", "L4/L5 disc"),
        "canal": ("SCT", "61853006", "Vertebral canal"),
    }


def test_it_is_read_back_as_a_label_volume(written: Any, tmp_path: Path) -> None:
    file, values, affine = written
    stored = read(file, None)
    for value in np.unique(values)[1:]:
        found = {tuple(point) for point in _world(stored.array == value, stored.affine)}
        assert found == {tuple(point) for point in _world(values == value, affine)}
    assert scheme_in(file) == SCHEME
    assert volume_sha256(file) == file_sha256(file)
    header = pydicom.dcmread(file)
    for segment in header.SegmentSequence:
        del segment.SegmentDescription
    header.save_as(tmp_path / "other.dcm")
    assert scheme_in(tmp_path / "other.dcm") is None
    assert np.unique(read(tmp_path / "other.dcm", None).array).tolist() == [0, 1, 2, 3, 4, 5]
    (tmp_path / "cut.dcm").write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DataError, match="is no readable DICOM segmentation: it is truncated or corrupt"):
        read(tmp_path / "cut.dcm", None)


def spaced(header: Any, gap: float) -> None:
    header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = gap


def first_is(header: Any, value: int) -> None:
    header.SegmentSequence[0].SegmentDescription = f"value {value} of the label scheme spine"


def frameless(header: Any) -> None:
    header.PerFrameFunctionalGroupsSequence, header.PixelData, header.NumberOfFrames = [], b"", 0


CONTRADICTIONS: dict[Callable[[Any], Any], str] = {
    lambda header: header.SegmentSequence.pop(): "has a frame of a segment that it does not list",
    lambda header: first_is(header, 70_000): "has a segment whose value is not in 1 … 65535",
    lambda header: first_is(header, 0): "has a segment whose value is not in 1 … 65535",
    lambda header: first_is(header, 3): "has several segments of one number or value",
    lambda header: spaced(header, 1e-7): "has slices 1e-07 mm apart",
    frameless: "has no frames|is no readable DICOM segmentation: it is truncated",
}


@pytest.mark.parametrize("change", CONTRADICTIONS)
def test_one_that_contradicts_itself_is_refused(change: Callable[[Any], Any], written: Any, tmp_path: Path) -> None:
    header = pydicom.dcmread(written[0])
    change(header)
    header.save_as(tmp_path / "odd.dcm")
    with pytest.raises(DataError, match=f"odd.dcm ({CONTRADICTIONS[change]})"):
        read(tmp_path / "odd.dcm", None)


def test_measurements_carry_the_identifiers_of_the_series(series: Path, written: Any, tmp_path: Path) -> None:
    file, values, affine = written
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "same.nii.gz")
    ours, same = measure_files([file, tmp_path / "same.nii.gz"], SCHEME)
    assert ours.error is None
    assert [row.level for row in ours.rows] == [row.level for row in same.rows]
    source = pydicom.dcmread(next(series.iterdir()))
    write_measurements(tmp_path / "figures.csv", [ours], SCHEME)
    heading, first = (tmp_path / "figures.csv").read_text().splitlines()[:2]
    assert heading.endswith(",study_instance_uid,series_instance_uid")
    assert first.endswith(f",{source.StudyInstanceUID},{source.SeriesInstanceUID}")
    write_measurements(tmp_path / "plain.csv", [same], SCHEME)
    assert "uid" not in (tmp_path / "plain.csv").read_text()


def test_every_level_has_the_code_of_snomed() -> None:
    """Against the numbers of CID 7603 (vertebrae), CID 7604 (discs) and SNOMED CT."""
    wanted = {
        "S": "54735007", "L5": "49668003", "L4": "11994002", "L3": "36470004", "L2": "14293000", "L1": "66794005",
        "T12": "23215003", "T11": "12989004", "T10": "7610001", "T9": "82687006", "T8": "11068009", "T7": "62487009",
        "T6": "45296009", "T5": "56401006", "T4": "73071006", "T3": "1626008", "T2": "53733008", "T1": "64864005",
        "L5/S": "715056000", "L4/L5": "84020006", "L3/L4": "62551000", "L2/L3": "67459009", "L1/L2": "80064006",
        "T12/L1": "76206002", "T11/T12": "1537001", "T10/T11": "34959001", "T9/T10": "113209001", "T8/T9": "9188009",
        "T7/T8": "28693002", "T6/T7": "74401007", "T5/T6": "72692000", "T4/T5": "82965004", "T3/T4": "2620004",
        "T2/T3": "6004007", "T1/T2": "40908007", "canal": "61853006", "cord": "2748008", "rib": "113197003",
        "L6": "51282000", "T13": "51282000",
    }  # fmt: skip
    codes = {c.name: code_of(c) for c in SCHEME.classes[1:]}
    assert {name: codes[name].value for name in wanted} == wanted
    assert {codes[name].scheme_designator for name in wanted} == {"SCT"}
    assert {name for name in codes if name not in wanted} == {"L6/S", "L5/L6", "T13/L1", "T12/T13"}


def test_a_segmentation_whose_source_is_gone_is_not_written(series: Path, tmp_path: Path) -> None:
    for file in series.iterdir():
        file.unlink()
    with pytest.raises(DataError, match="holds no image of DICOM"):
        write_segmentation(tmp_path / "seg.dcm", labels(), series, SCHEME, "unet")
    assert not (tmp_path / "seg.dcm").exists()


def test_what_has_no_segmentation_is_refused(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="nothing is labelled, and nothing has no segmentation"):
        write_segmentation(tmp_path / "seg.dcm", 0 * labels(), series, SCHEME, "unet")
    for file in series.iterdir():
        header = pydicom.dcmread(file)
        del header.FrameOfReferenceUID
        header.save_as(file)
    with pytest.raises(DataError, match="lacks FrameOfReferenceUID in its headers, which a segmentation refers to"):
        write_segmentation(tmp_path / "seg.dcm", labels(), series, SCHEME, "unet")
    with pytest.raises(DataError, match="is not DICOM, and a DICOM segmentation refers to its series"):
        require_series(tmp_path / "scan.nii.gz")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UsageError, match="pip install 'spine-ignite"):
        require_series(series)
