"""Datasets converted; what was written is read by MONAI, nibabel and SimpleITK, and by the layouts' definitions."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

from spine_ignite.datasets.checks import check_dataset
from spine_ignite.datasets.convert.conversion import WRITTEN, Choices, convert
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.listed_split import count_listed, read_listed
from spine_ignite.datasets.patients import patients_of
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.labels import load_scheme

Writer = Callable[..., Path]
LUMBAR = Choices(masks="lumbar-vertebrae", contrast="T2w")


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def spider(tmp_path: Path) -> Path:
    """SPIDER as it is published: patients 1 to 4 of two or three series, in MetaImage, and the official subsets."""
    root = tmp_path / "spider"
    rng = np.random.default_rng(0)
    rows = ["new_file_name,subset,sex"]
    for number in range(1, 5):
        for series in ("t1", "t2", *(["t2_SPACE"] if number == 1 else [])):
            label = np.zeros((30, 40, 5), np.uint8)
            label[8:20, 4:12, 1:4], label[8:20, 14:24, 1:4], label[8:20, 12:14, 1:4] = 1, 2, 202
            label[20:24, :, 2] = 100
            image = rng.integers(0, 500, label.shape).astype(np.int16)
            for folder, array in (("images", image), ("masks", label)):
                file = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
                file.SetSpacing((0.6, 0.7, 4.0))
                file.SetOrigin((10.0, -20.0, 30.0))
                file.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
                (root / folder).mkdir(parents=True, exist_ok=True)
                sitk.WriteImage(file, str(root / folder / f"{number}_{series}.mha"))
            rows.append(f"{number}_{series},{'validation' if number == 3 else 'training'},F")
    (root / "overview.csv").write_text("\n".join(rows) + "\n")
    return root


def test_spider_to_nnunet_with_its_official_subset(spider: Path, tmp_path: Path) -> None:
    raw = tmp_path / "Dataset001_Spider"
    done = convert(spider, raw, "nnunet", Choices(scheme="spine"))
    assert (done.layout, done.cases, done.folds) == ("spider", {"train": 9, "test": 0}, 1)
    described = json.loads((raw / "dataset.json").read_text())
    assert {key: described[key] for key in ("channel_names", "numTraining", "file_ending")} == {
        "channel_names": {"0": "MRI"},
        "numTraining": 9,
        "file_ending": ".nii.gz",
    }
    assert sorted(described["labels"].values()) == list(range(load_scheme("spine").num_classes)), "no gaps"
    (split,) = json.loads((raw / "splits_final.json").read_text())
    assert sorted(split["val"]) == ["3_t1", "3_t2"]
    assert len(split["train"]) == 7
    names = described["labels"]
    mask = voxels(raw / "labelsTr/1_t2_SPACE.nii.gz")
    old = sitk.GetArrayFromImage(sitk.ReadImage(str(spider / "masks/1_t2_SPACE.mha"))).T
    for value, name in ((1, "L5"), (2, "L4"), (202, "L4/L5"), (100, "canal")):
        np.testing.assert_array_equal(mask == names[name], old == value)
    image, reference = (sitk.ReadImage(str(p)) for p in (raw / "imagesTr/1_t1_0000.nii.gz", spider / "images/1_t1.mha"))
    np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, (image, reference)))
    for index in ((0, 0, 0), (29, 39, 4)):
        np.testing.assert_allclose(*(i.TransformIndexToPhysicalPoint(index) for i in (image, reference)), atol=1e-4)
    assert (raw / "patients.csv").read_text().splitlines()[:3] == ["case,patient", "1_t1,1", "1_t2,1"]


@pytest.mark.parametrize("to", list(WRITTEN))
def test_there_and_back(spider: Path, tmp_path: Path, to: str) -> None:
    """Whatever lies between, voxels, structures, patients and the split are those of the beginning."""
    convert(spider, tmp_path / "between", to)
    done = convert(tmp_path / "between", tmp_path / "back", "mrspineseg", Choices(layout=to, scheme="spider"))
    assert (done.layout, done.folds) == (to, 1)
    dataset, problems = find_cases(tmp_path / "back")
    assert problems == []
    names = {case.name for case in dataset.cases}
    of = patients_of(sorted(names), str(tmp_path / "back/patients.csv"))
    assert sorted(of.values()) == sorted((["sub-1"] if to == "bids" else ["1"]) * 3 + [*of.values()][3:])
    assert len(set(of.values())) == 4
    lists = read_listed(tmp_path / "back/splits_final.json", None)
    assert {of[name] for name in lists.parts["validation"]} == {"sub-3" if to == "bids" else "3"}
    for case in dataset.cases:
        old = case.name
        if to == "bids":
            found = dict(part.split("-") for part in case.name.split("_")[:-1])
            old = f"{found['sub']}_{case.name.split('_')[-1][:2].lower()}{'_SPACE' if 'acq' in found else ''}"
        for folder, file in (("images", case.image), ("masks", case.label)):
            before = sitk.GetArrayFromImage(sitk.ReadImage(str(spider / folder / f"{old}.mha"))).T
            np.testing.assert_array_equal(voxels(file), before)


def test_monai_reads_what_was_written(tiny_dataset: Path, tmp_path: Path) -> None:
    from monai.data.decathlon_datalist import load_decathlon_datalist

    folds = [
        {
            "train": [f"Case{n}" for n in range(1, 5) if n % 2 == side],
            "val": [f"Case{n}" for n in (1, 2, 3, 4) if n % 2 != side],
        }
        for side in (0, 1)
    ]
    (tiny_dataset / "splits_final.json").write_text(json.dumps(folds))
    convert(tiny_dataset, tmp_path / "monai", "monai", LUMBAR)
    found = {
        part: load_decathlon_datalist(tmp_path / "monai/dataset.json", True, part) for part in ("training", "test")
    }
    assert [len(found[part]) for part in found] == [4, 2]
    assert [entry["fold"] for entry in found["training"]] == [0, 1, 0, 1], "who is held out"
    for entry in found["training"]:
        number = Path(entry["image"]).name[4]
        np.testing.assert_array_equal(
            voxels(entry["image"]), voxels(tiny_dataset / f"train/source/Case{number}.nii.gz")
        )
    back = convert(tmp_path / "monai", tmp_path / "raw", "nnunet", Choices(layout="monai"))
    assert back.folds == 2
    assert count_listed(tmp_path / "raw/splits_final.json") == 2


def test_images_in_nifti_are_copied_and_masks_follow_their_image(tiny_dataset: Path, tmp_path: Path) -> None:
    path = tiny_dataset / "train/label/mask_case1.nii.gz"
    image = nib.load(path)
    before = np.asarray(image.dataobj).copy()
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.io_orientation(np.eye(4)))
    )
    nib.save(turned, path)
    convert(tiny_dataset, tmp_path / "raw", "nnunet", LUMBAR)
    source = tiny_dataset / "train/source/Case1.nii.gz"
    assert (tmp_path / "raw/imagesTr/Case1_0000.nii.gz").read_bytes() == source.read_bytes()
    mask = nib.load(tmp_path / "raw/labelsTr/Case1.nii.gz")
    np.testing.assert_allclose(mask.affine, nib.load(source).affine)
    labels = json.loads((tmp_path / "raw/dataset.json").read_text())["labels"]
    np.testing.assert_array_equal(np.asarray(mask.dataobj) == labels["L5"], before == 2)
    report = check_dataset(tmp_path / "raw", load_scheme(tmp_path / "raw/dataset.json"))
    assert report.problems == ()
    assert sorted(p.name for p in (tmp_path / "raw/labelsTs").iterdir()) == ["Case5.nii.gz", "Case6.nii.gz"]


def test_bids_names_and_tables(spider: Path, tmp_path: Path) -> None:
    root = tmp_path / "bids"
    convert(spider, root, "bids", Choices(scheme="spine"))
    assert sorted(p.name for p in (root / "sub-1/anat").iterdir()) == [
        "sub-1_T1w.nii.gz",
        "sub-1_T2w.nii.gz",
        "sub-1_acq-SPACE_T2w.nii.gz",
    ]
    labels = root / "derivatives/labels"
    mask = labels / "sub-1/anat/sub-1_acq-SPACE_desc-T2w_dseg"
    source = json.loads(Path(f"{mask}.json").read_text())["Sources"]
    assert source == ["bids:raw:sub-1/anat/sub-1_acq-SPACE_T2w.nii.gz"]
    table = [line.split("\t") for line in (labels / "dseg.tsv").read_text().splitlines()]
    assert table[0] == ["index", "name", "color"]
    values = {name: int(index) for index, name, _ in table[1:]}
    assert values == {c.name: c.value for c in load_scheme("spine").classes}
    assert set(np.unique(voxels(Path(f"{mask}.nii.gz")))) == {0, *(values[n] for n in ("L5", "L4", "L4/L5", "canal"))}
    dataset, _ = find_cases(root)
    assert (dataset.layout, len(dataset.split("train"))) == ("bids", 9)
    assert read_listed(root / "splits_final.json", None).parts["validation"] == ["sub-3_T1w", "sub-3_T2w"]


def test_participants_are_the_patients_of_the_table(tiny_dataset: Path, tmp_path: Path) -> None:
    """Two subjects may be one patient, and a patient may be called as the subject of another's case is."""
    convert(tiny_dataset, tmp_path / "first", "bids", LUMBAR)
    patients = {1: "A", 2: "A", 3: "B", 4: "Case3", 5: "Case5", 6: "sub-Case6"}
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\n" + "".join(f"sub-Case{n}_T2w,{who}\n" for n, who in patients.items()))
    convert(tmp_path / "first", tmp_path / "second", "bids", Choices(patients=str(table)))
    rows = (tmp_path / "second" / "participants.tsv").read_text().splitlines()[1:]
    assert rows == ["sub-A\ttrain", "sub-B\ttrain", "sub-Case3\ttrain", "sub-Case5\ttest", "sub-Case6\ttest"]
    now = ("sub-A_T2w", "sub-A_run-2_T2w", "sub-B_T2w", "sub-Case3_T2w", "sub-Case5_T2w", "sub-Case6_T2w")
    assert {case.name for case in find_cases(tmp_path / "second")[0].cases} == set(now)
    for number, name in enumerate(now, 1):
        for old, new in (("", ""), ("derivatives/labels/", "_desc-T2w_dseg")):
            before = f"sub-Case{number}/anat/sub-Case{number}{'_desc-T2w_dseg' if new else '_T2w'}.nii.gz"
            after = f"{name.split('_')[0]}/anat/{name.removesuffix('_T2w') + new if new else name}.nii.gz"
            np.testing.assert_array_equal(
                voxels(tmp_path / "first" / old / before), voxels(tmp_path / "second" / old / after)
            )


def test_names_that_clash_or_do_not_tell_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    """nnU-Net tells Case7 from Case07, which pair alike elsewhere; nothing is left of the attempt."""
    convert(tiny_dataset, tmp_path / "raw", "nnunet", LUMBAR)
    raw = tmp_path / "copy"
    shutil.copytree(tmp_path / "raw", raw)
    for folder, end in (("images", "_0000"), ("labels", "")):
        shutil.copy(raw / f"{folder}Tr/Case1{end}.nii.gz", raw / f"{folder}Tr/Case01{end}.nii.gz")
    described = json.loads((raw / "dataset.json").read_text()) | {"numTraining": 5}
    (raw / "dataset.json").write_text(json.dumps(described))
    (raw / "patients.csv").unlink()
    with pytest.raises(
        DataError, match="Case01 and Case1 would be the same case '1'|Case1 and Case01 would be the same"
    ):
        convert(raw, tmp_path / "mine", "mrspineseg")
    with pytest.raises(DataError, match="does not tell its contrast, which BIDS wants .* --contrast T2w"):
        convert(raw, tmp_path / "mine", "bids")
    rows = "".join(f"Case{n},{n}\n" for n in range(2, 7))
    (raw / "patients.csv").write_text(f"case,patient\nCase1,Case_1\nCase01,Case1\n{rows}")
    with pytest.raises(DataError, match="patients .* and .* would both be sub-Case1"):
        convert(raw, tmp_path / "mine", "bids", Choices(contrast="T1w"))
    with pytest.raises(UsageError, match="there is no layout 'nnunett' to write. Did you mean 'nnunet'"):
        convert(raw, tmp_path / "mine", "nnunett")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "dataset", "raw"]


def truncate(root: Path) -> None:
    for path in (root / "imagesTr/Case1_0000.nii.gz", root / "labelsTr/Case2.nii.gz"):
        path.write_bytes(path.read_bytes()[:-30])


def split(root: Path) -> None:
    (root / "splits_final.json").write_text('[{"train": ["Case1"], "val": ["Case9"]}]')


def describe(**changed: object) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        data = json.loads((root / "dataset.json").read_text())
        data = {key: value for key, value in (data | changed).items() if value is not None}
        (root / "dataset.json").write_text(json.dumps(data))

    return act


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            truncate,
            "2 cases of .* cannot be converted: .*Case1_0000.nii.gz cannot be.*; .*Case2.nii.gz cannot be read",
        ),
        (describe(numTraining=7), "says that there are 7 training cases, and imagesTr has 4; correct it, or add the f"),
        (describe(labels=None), "is not a dataset.json of nnU-Net: 'labels' is missing"),
        (describe(labels={"background": 0, "L5": 1}), "label values .* are not in the scheme"),
        (lambda root: (root / "labelsTr/Case3.nii.gz").unlink(), "Case3_0000.nii.gz has no mask in .*labelsTr"),
        (split, "lists Case9, which the training part of the dataset does not have"),
        (lambda root: (root / "dataset.json").unlink(), "does not say what the values of its masks mean"),
    ],
)
def test_a_source_that_lies_or_is_damaged_is_told_and_nothing_is_written(
    tiny_dataset: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    convert(tiny_dataset, tmp_path / "raw", "nnunet", LUMBAR)
    convert(tiny_dataset, tmp_path / "mine", "mrspineseg", LUMBAR)
    before = tree(tmp_path / "mine")
    damage(tmp_path / "raw")
    for dest in ("new", "mine"):
        with pytest.raises((DataError, UsageError), match=message):
            convert(tmp_path / "raw", tmp_path / dest, "mrspineseg")
    assert tree(tmp_path / "mine") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset", "mine", "raw"]


def test_a_file_that_does_not_say_how_it_is_oriented_says_so_once_it_is_told(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    for path in (tiny_dataset / "train/source/Case1.nii.gz", tiny_dataset / "train/label/mask_case1.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None), path)
    with pytest.raises(DataError, match="does not say how it is oriented"):
        convert(tiny_dataset, tmp_path / "raw", "nnunet", LUMBAR)
    from dataclasses import replace

    from spine_ignite.volumes.volume import Reading

    convert(tiny_dataset, tmp_path / "raw", "nnunet", replace(LUMBAR, reading=Reading("PSR")))
    for name in ("imagesTr/Case1_0000", "labelsTr/Case1"):
        assert nib.aff2axcodes(nib.load(tmp_path / f"raw/{name}.nii.gz").affine) == ("P", "S", "R")
        assert nib.load(tmp_path / f"raw/{name}.nii.gz").header["sform_code"] > 0


def test_a_folder_of_others_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with pytest.raises(RunError, match="holds files that spine-ignite did not make as a converted dataset, notes.txt"):
        convert(tiny_dataset, tmp_path / "full", "nnunet", LUMBAR)
    with pytest.raises(UsageError, match="lies in the data"):
        convert(tiny_dataset, tiny_dataset / "raw", "nnunet", LUMBAR)


def test_folders_of_dicom_become_volumes_without_a_patient_s_name(tmp_path: Path, write_series: Writer) -> None:
    root, affine = tmp_path / "exams", np.array([[0, 0, 4.0, -8], [1, 0, 0, -10], [0, -1, 0, 20], [0, 0, 0, 1]])
    rng = np.random.default_rng(0)
    arrays = {number: rng.integers(0, 400, (12, 10, 5)).astype(np.uint16) for number in (1, 2)}
    for number, array in arrays.items():
        write_series(root / f"train/source/Case{number}/series", array, affine)
        mask = nib.Nifti1Image(np.full(array.shape, 2, np.uint8), affine)
        (root / "train/label").mkdir(exist_ok=True)
        nib.save(mask, root / f"train/label/mask_case{number}.nii.gz")
    convert(root, tmp_path / "raw", "nnunet", LUMBAR)
    for number, array in arrays.items():
        image = nib.load(tmp_path / f"raw/imagesTr/Case{number}_0000.nii.gz")
        to = nib.orientations.io_orientation(np.linalg.inv(affine) @ image.affine)
        np.testing.assert_array_equal(nib.orientations.apply_orientation(image.dataobj, to), array)
        np.testing.assert_allclose(nib.load(tmp_path / f"raw/labelsTr/Case{number}.nii.gz").affine, image.affine)
    files = tree(tmp_path / "raw")
    assert len(files) == 8
    for name, content in files.items():
        plain = gzip.decompress(content) if name.endswith(".gz") else content
        assert b"SECRET" not in plain.upper(), name
