"""Series as volumes, judged by what was written and by dcm2niix."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.errors import DataError, UsageError
from spine_ignite.volumes.dicom.dicom_reader import remarks, volumes_in
from spine_ignite.volumes.digests import volume_sha256
from spine_ignite.volumes.reader import read, read_geometry, volume_stem

pydicom = pytest.importorskip("pydicom")
from pydicom.fileset import FileSet  # noqa: E402 - it may not be there

Writer = Callable[..., Path]
TESTS = Path(pydicom.__file__).parent / "data" / "test_files"

needs_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")


def sagittal(spacing: tuple[float, float, float] = (0.7, 0.9, 4.4), turns: tuple[float, ...] = (0, 0, 0)) -> Any:
    """The affine of sagittal slices, rows towards posterior, columns towards the feet, turned about x, y and z."""
    base = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    for axis, degrees in enumerate(turns):
        one, other = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(np.radians(degrees))
        turn[one, other] = -np.sin(np.radians(degrees))
        turn[other, one] = -turn[one, other]
        base = turn @ base
    affine = np.eye(4)
    affine[:3, :3] = base * spacing
    affine[:3, 3] = (-31.25, 77.7, 123.4)
    return affine


def noise(shape: tuple[int, int, int] = (20, 30, 7), seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def same_volume(one: Any, other: Any) -> None:
    """Compare two volumes voxel by voxel where they lie, whatever the order of their axes."""
    (array, affine), (wanted, target) = one, other
    orientation = nib.orientations.io_orientation(np.linalg.inv(target) @ affine)
    moved = nib.orientations.apply_orientation(array, orientation)
    placed = affine @ nib.orientations.inv_ornt_aff(orientation, array.shape)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*wanted.shape, 1]
    assert np.abs(corners @ (placed - target).T).max() < 0.01  # mm
    np.testing.assert_allclose(moved, wanted, rtol=1e-5)


def by_dcm2niix(folder: Path, out: Path) -> tuple[Any, Any]:
    out.mkdir()
    subprocess.run(["dcm2niix", "-z", "n", "-f", "volume", "-o", out, folder], check=True, capture_output=True)
    (file,) = out.glob("*.nii")
    image = nib.load(file)
    return np.asarray(image.dataobj), image.affine


GEOMETRIES = {
    "plain": ((0.7, 0.9, 4.4), (0, 0, 0), None),
    "odd spacings": ((0.3125, 1.71875, 3.30001), (0, 0, 0), None),
    "tilted": ((0.6, 0.6, 4.0), (11.3, 0, 0), None),
    "oblique": ((0.9, 0.8, 3.85), (7.7, -13.1, 21.9), None),
    "reversed": ((0.9, 0.8, 3.3), (3, 4, -5), range(6, -1, -1)),
    "interleaved": ((0.9, 0.8, 3.3), (-3, 4, 5), (0, 2, 4, 6, 1, 3, 5)),
}


@needs_dcm2niix
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_series_lies_where_dcm2niix_puts_it(name: str, tmp_path: Path, write_series: Writer) -> None:
    spacing, turns, order = GEOMETRIES[name]
    affine, array = sagittal(spacing, turns), noise()
    folder = write_series(tmp_path / "study" / "series", array, affine, order)
    stored = read(folder, np.float32)
    same_volume((stored.array, stored.affine), by_dcm2niix(folder, tmp_path / "out"))
    same_volume((stored.array, stored.affine), (array, affine))
    assert read_geometry(folder)[0] == stored.array.shape


@needs_dcm2niix
@pytest.mark.parametrize(
    ("files", "key"),
    [
        ("MR_small.dcm", "1"),
        ("MR_small_RLE.dcm", "1"),
        ("MR_small_implicit.dcm", "1"),
        ("MR_small_expb.dcm", "1"),
        ("CT_small.dcm", "1"),
        ("dicomdirtests/98892001/CT5N", "5"),
    ],
)
def test_pydicom_s_own_files_lie_where_dcm2niix_puts_them(files: str, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if (TESTS / files).is_dir():
        shutil.copytree(TESTS / files, source)
    else:
        source.mkdir()
        shutil.copy(TESTS / files, source)
    (path,) = volumes_in(source, (key,))
    stored = read(path, np.float32)
    same_volume((stored.array, stored.affine), by_dcm2niix(source, tmp_path / "out"))


def test_a_compressed_image_is_the_plain_one() -> None:
    """RLE is pydicom's own; JPEG 2000 is read by Pillow or pylibjpeg, JPEG-LS by pyjpegls, which highdicom brings."""
    plain = read(Path(f"{TESTS}/MR_small.dcm#1"), None)
    for name in ("MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_bigendian"):
        same = read(Path(f"{TESTS}/{name}.dcm#1"), None)
        np.testing.assert_array_equal(same.array, plain.array)
        np.testing.assert_array_equal(same.affine, plain.affine)


def test_a_compression_without_its_package_names_it(tmp_path: Path, write_series: Writer) -> None:
    folder = write_series(tmp_path / "study" / "series", noise(), sagittal())
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(100)])
        header["PixelData"].is_undefined_length = True
        header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
        header.save_as(file)
    # In a process that has no such decoder, whatever is installed here.
    code = "import sys; sys.modules.update(dict.fromkeys(['libjpeg', 'gdcm', 'pylibjpeg'])); "
    code += "from pathlib import Path; from spine_ignite.volumes.reader import read; read(Path(sys.argv[1]), None)"
    said = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True).stderr
    assert "which needs another package: pip install pylibjpeg pylibjpeg-libjpeg" in said


def test_without_pydicom_the_way_to_install_it_is_told(
    tmp_path: Path, write_series: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_series(tmp_path / "study" / "series", noise(), sagittal())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'spine-ignite[dicom]'")):
        read_geometry(folder)


def test_each_slice_has_its_own_slope_and_intercept(tmp_path: Path, write_series: Writer) -> None:
    array = noise()
    folder = write_series(tmp_path / "study" / "series", array, sagittal())
    wanted = array.astype(np.float32)
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        number = int(header.InstanceNumber)
        header.RescaleSlope, header.RescaleIntercept = 1 + number / 4, -number
        header.save_as(file)
        wanted[:, :, number - 1] = array[:, :, number - 1] * (1 + number / 4) - number
    stored = read(folder, np.float32)
    same_volume((stored.array, stored.affine), (wanted, sagittal()))


@needs_dcm2niix
@pytest.mark.parametrize("reverse", [False, True])
def test_a_file_of_many_frames_is_read_like_files_of_one(
    reverse: bool, tmp_path: Path, write_series: Writer, put_into_frames: Callable[..., None]
) -> None:
    affine, array = sagittal(turns=(4, -7, 11)), noise()
    folder = write_series(tmp_path / "study" / "series", array, affine)
    put_into_frames(folder, tmp_path / "many" / "frames.dcm", reverse)
    stored = read(tmp_path / "many", np.float32)
    same_volume((stored.array, stored.affine), (array * 2.0 + 5, affine))
    same_volume((stored.array, stored.affine), by_dcm2niix(tmp_path / "many", tmp_path / "out"))
    np.testing.assert_array_equal(read(tmp_path / "many" / "frames.dcm", np.float32).array, stored.array)


def test_a_zip_and_a_dicomdir_are_the_folder_that_they_hold(tmp_path: Path, write_series: Writer) -> None:
    series = write_series(tmp_path / "disc" / "IMAGES", noise(), sagittal())
    wanted, digest = read(series, None), volume_sha256(series)
    with zipfile.ZipFile(tmp_path / "exam.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for place, file in enumerate(series.iterdir()):
            archive.write(file, f"DOE^JOHN/{place * 7 % 10}")
    (tmp_path / "disc" / "notes").write_text("not DICOM")
    directory = FileSet()
    for file in series.iterdir():
        directory.add(file)
    directory.write(tmp_path / "medium")
    for path in (tmp_path / "exam.zip", tmp_path / "medium" / "DICOMDIR", tmp_path / "medium", tmp_path / "disc"):
        assert volumes_in(path) == [path]
        stored = read(path, None)
        np.testing.assert_array_equal(stored.array, wanted.array)
        np.testing.assert_array_equal(stored.affine, wanted.affine)
    assert volume_sha256(tmp_path / "exam.zip") == digest
    assert [volume_stem(tmp_path / name) for name in ("exam.zip", "medium/DICOMDIR")] == ["exam", "medium"]
    (tmp_path / "medium" / "DICOMDIR").rename(tmp_path / "DICOMDIR")
    with pytest.raises(DataError, match="names 7 files of which none is there; copy the whole medium"):
        volumes_in(tmp_path / "DICOMDIR")


def test_of_a_study_the_t2_weighted_sagittal_series_is_read_and_the_choice_said(
    tmp_path: Path, write_series: Writer
) -> None:
    study = tmp_path / "study"
    axial = np.diag([0.8, 0.8, 4.0, 1.0])
    write_series(study / "a", noise(seed=1), axial, SeriesNumber=2, SeriesDescription="t2 tse tra", named="A{}")
    write_series(study / "b", noise(seed=2), sagittal(), SeriesNumber=3, EchoTime=10, RepetitionTime=500, named="B{}")
    write_series(
        study / "c", noise(seed=3), sagittal(), SeriesNumber=5, SeriesDescription="T2 SAG John Doe", named="C{}"
    )
    # A localizer: three planes in one series.
    same = {"SeriesNumber": 1, "SeriesInstanceUID": "1.2.3", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    for name, affine in (("x", axial), ("y", sagittal()), ("z", sagittal(turns=(0, 0, 90)))):
        write_series(study / "loc", noise((16, 16, 5)), affine, named=name + "{}", **same)
    stored = read(study, None)
    assert set(np.unique(stored.array)) <= set(np.unique(noise(seed=3)))
    assert remarks([study]) == [
        f"of the 6 series in {study}, series 5 is read, the first choice of 2 sagittal ones (7 slices); "
        "--series takes others"
    ]
    assert [path.name for path in volumes_in(study, ("all",))] == ["study#5", "study#3"]
    assert [path.name for path in volumes_in(study, ("2", "1b"))] == ["study#2", "study#1b"]
    assert volume_stem(Path(f"{study}#1b")) == "study-series-1b"
    np.testing.assert_array_equal(np.sort(read(Path(f"{study}#3"), None).array, None), np.sort(noise(seed=2), None))
    with pytest.raises(
        DataError, match=r"has no series 9; it has series 1a \((sagittal|axial|coronal), 5 slices\), 1b"
    ):
        volumes_in(study, ("9",))
    with pytest.raises(UsageError, match="--series T2 is no series; give its number, as 4, or all"):
        volumes_in(study, ("T2",))
    shutil.rmtree(study / "b")
    shutil.rmtree(study / "c")
    with pytest.raises(
        DataError, match="has no sagittal series of at least 4 slices, but series 1a .* say which is meant"
    ):
        read(study, None)


def test_a_tree_of_studies_gives_one_volume_each(tmp_path: Path, write_series: Writer) -> None:
    for number in (1, 2):
        write_series(tmp_path / "tree" / f"DOE{number}" / "s", noise(seed=number), sagittal())
    assert [path.name for path in volumes_in(tmp_path / "tree")] == ["tree#study-1", "tree#study-2"]
    for number in (1, 2):
        path = Path(f"{tmp_path}/tree#study-{number}")
        same_volume((read(path, None).array, read(path, None).affine), (noise(seed=number), sagittal()))
        assert volume_stem(path) == f"tree-study-{number}"
    assert [path.name for path in volumes_in(tmp_path / "tree", ("2.4",))] == ["tree#2.4"]
    with pytest.raises(DataError, match="has 2 studies; say which with tree#study-1, or give their folders"):
        read(tmp_path / "tree", None)


def test_echoes_of_one_series_are_told_apart(tmp_path: Path, write_series: Writer) -> None:
    for number, time in enumerate((10, 90)):
        write_series(
            tmp_path / "study" / "s",
            noise(seed=number),
            sagittal(),
            named=f"{number}-{{}}",
            EchoTime=time,
            SeriesInstanceUID="1.2",
        )
    for seed, path in enumerate(volumes_in(tmp_path / "study", ("4a", "4b"))):
        np.testing.assert_array_equal(np.sort(read(path, None).array, None), np.sort(noise(seed=seed), None))


def test_spacings_and_fields_of_view_of_one_series_are_told_apart(tmp_path: Path, write_series: Writer) -> None:
    lower, upper = sagittal(), sagittal()
    upper[2, 3] += 25
    study = tmp_path / "study"
    write_series(study, noise(seed=0), lower, named="a{}", SeriesInstanceUID="1.2")
    write_series(study, noise(seed=1), upper, named="b{}", SeriesInstanceUID="1.2")
    write_series(study, noise(seed=2), sagittal((0.5, 0.5, 4.4)), named="c{}", SeriesInstanceUID="1.2")
    found = [read(path, None) for path in volumes_in(study, ("all",))]
    for seed, affine in ((0, lower), (1, upper), (2, sagittal((0.5, 0.5, 4.4)))):
        (stored,) = (
            one
            for one in found
            if np.abs(one.affine[:3, 3] - affine[:3, 3]).max() < 30
            and (np.array_equal(np.sort(one.array, None), np.sort(noise(seed=seed), None)))
        )
        same_volume((stored.array, stored.affine), (noise(seed=seed), affine))


def spoil(folder: Path, number: int, **headers: Any) -> None:
    file = next(path for path in folder.iterdir() if pydicom.dcmread(path).InstanceNumber == number)
    header = pydicom.dcmread(file)
    for name, value in headers.items():
        setattr(header, name, value)
    header.save_as(file)


def lose_a_slice(folder: Path) -> None:
    (folder / "IM0003").unlink()


def move_a_slice(folder: Path) -> None:
    spoil(
        folder,
        3,
        ImagePositionPatient=[float(v) + 1.1 for v in pydicom.dcmread(folder / "IM0003").ImagePositionPatient],
    )


def double_a_slice(folder: Path) -> None:
    shutil.copy(folder / "IM0003", folder / "IM0099")
    header = pydicom.dcmread(folder / "IM0099")
    header.PixelData = bytes(len(header.PixelData))
    header.save_as(folder / "IM0099")


def cut_the_pixels(folder: Path) -> None:
    file = folder / "IM0003"
    file.write_bytes(file.read_bytes()[:-100])


SPOILT = {
    lose_a_slice: "series 4 't2 tse sag' of {} lacks 1 slice (images 2 and 4 are 8.8 mm apart, others 4.4)",
    move_a_slice: "has slices that are not evenly spaced: 3.3 to 5.5 mm apart, one of them",
    double_a_slice: "has two different images at one place (images 3 and 3), and nothing tells what they are",
    cut_the_pixels: "series 4 't2 tse sag' of {} cannot be read: image 3 is truncated, corrupt or gone",
    lambda folder: spoil(folder, 2, PatientID="other"): (
        "series 4 't2 tse sag' of {} holds images of more than one patient (1 of 7); remove those that do not belong"
    ),
    lambda folder: [spoil(folder, n, PhotometricInterpretation="MONOCHROME1") for n in range(1, 8)]: (
        "has no plain grey values (its photometric interpretation is not MONOCHROME2)"
    ),
    lambda folder: [spoil(folder, n, ImageOrientationPatient=[0, 1, 0, 0, 0.1, -1]) for n in range(1, 8)]: (
        "says that its rows and columns have directions that are no right angle"
    ),
}


@pytest.mark.parametrize("spoiler", SPOILT)
def test_what_is_no_volume_is_refused(spoiler: Callable[[Path], None], tmp_path: Path, write_series: Writer) -> None:
    folder = write_series(tmp_path / "study" / "series", noise(), sagittal())
    spoiler(folder)
    with pytest.raises(DataError, match=re.escape(SPOILT[spoiler].format(folder))) as raised:
        read(folder, None)
    assert "SECRET" not in str(raised.value)


def test_what_is_left_out_is_told(tmp_path: Path, write_series: Writer) -> None:
    folder = write_series(tmp_path / "study" / "series", noise(), sagittal(), ImagesInAcquisition=9)
    shutil.copy(folder / "IM0003", folder / "IM0099")
    (folder / "IM0098").write_bytes((folder / "IM0003").read_bytes()[:700])
    stored = read(folder, None)
    same_volume((stored.array, stored.affine), (noise(), sagittal()))
    assert remarks([folder]) == [
        f"{folder}: 1 image of series 4 't2 tse sag' left out that were there already",
        f"{folder}: series 4 't2 tse sag' speaks of 9 images and has 7; it may be cut off",
        f"{folder}: 1 file of DICOM cannot be read: truncated or corrupt",
    ]


@pytest.mark.parametrize(
    ("length", "named"), [(0, "IM{:04d}"), (0, "{}.dcm"), (100, "IM{:04d}"), (100, "{}.dcm"), (131, "{}.ima")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_last_slice_that_is_cut_off_is_told(
    length: int, named: str, packed: bool, tmp_path: Path, write_series: Writer
) -> None:
    folder = write_series(tmp_path / "exam", noise(), sagittal(), named=named)
    last = folder / named.format(7)
    last.write_bytes(last.read_bytes()[:length])
    (folder / "notes").write_text("no slice")
    (folder / ".hidden.dcm").touch()
    path = shutil.make_archive(str(tmp_path / "exam"), "zip", folder) if packed else folder
    assert read(Path(path), None).array.shape[2] == 6
    assert remarks([Path(path)]) == [f"{path}: 1 file of DICOM cannot be read: truncated or corrupt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_last_slice_that_is_damaged_in_its_zip_is_told(method: int, tmp_path: Path, write_series: Writer) -> None:
    series, packed = write_series(tmp_path / "s", noise(), sagittal()), tmp_path / "exam.zip"
    with zipfile.ZipFile(packed, "w", method) as archive:
        for file in sorted(series.iterdir()):
            archive.write(file, file.name)
        archive.writestr("notes.txt", "no slice")
    damage(packed, "IM0007", "notes.txt")
    assert read(packed, None).array.shape[2] == 6
    assert remarks([packed]) == [f"{packed}: 1 file of DICOM cannot be read: truncated or corrupt"]


def test_a_source_of_damaged_files_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").touch()
    with pytest.raises(DataError, match="scan.dcm holds no image of DICOM that can be read, but 1 truncated or corr"):
        read(tmp_path / "scan.dcm", None)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_of_damaged_files_alone_says_so(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "exam.zip", "w", method) as archive:
        archive.writestr("IM1", bytes(128) + b"DICM" + bytes(range(256)))
    damage(tmp_path / "exam.zip", "IM1")
    with pytest.raises(DataError, match="exam.zip holds no image of DICOM that can be read, but 1 truncated or corr"):
        read(tmp_path / "exam.zip", None)


def damage(packed: Path, *names: str) -> None:
    """Overwrite where the bytes of members of a zip begin."""
    data = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        for name in names:
            item = archive.getinfo(name)
            begin = item.header_offset + 30 + len(name)
            data[begin : begin + min(60, item.compress_size)] = b"\xff" * min(60, item.compress_size)
    packed.write_bytes(data)


def outside(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../outside", bytes(128) + b"DICM")


def bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("IM1", bytes(128) + b"DICM" + bytes(2**26))


def cut(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("IM1", bytes(128) + b"DICM")
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (outside, "holds a file whose name leads outside of it; do not unpack it, ask who made it"),
        (bomb, "holds a file of 64 MiB in 63 KiB, which are no images"),
        (cut, "is not a readable zip: it is truncated or corrupt"),
    ],
)
def test_a_zip_that_is_none_of_images_is_refused(made: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    made(tmp_path / "exam.zip")
    with pytest.raises(DataError, match=said):
        volumes_in(tmp_path / "exam.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["exam.zip"]
