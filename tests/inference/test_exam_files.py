"""What is predicted by networks that see several contrasts, from the command line and from Python."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import spine_ignite
from spine_ignite.cli import run as command
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, UsageError
from spine_ignite.inference.exam_files import collect, exams_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.inference.recorded_images import match_images
from spine_ignite.labels import load_scheme
from spine_ignite.review.cohort import load_cohort

T1_T2 = ("t1", "t2")


def files(found: object) -> list[tuple[str, dict[str, str]]]:
    jobs, exams = found.jobs, found.exams  # type: ignore[attr-defined]
    return [(output.name, {name: path.name for name, path in exams[source].items()}) for source, output in jobs]


def test_folders_datasets_and_tables_are_told_by_names(two_contrasts: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    both = ("Case6.nii.gz", {"t1": "Case6_t1.nii.gz", "t2": "Case6_t2.nii.gz"})
    expected = [both, ("Case7.nii.gz", {"t1": "Case7_t1.nii.gz"})]
    source = two_contrasts / "test" / "source"
    for given in ([two_contrasts], [source], sorted(source.iterdir())):
        found = collect(T1_T2, given, out)
        assert files(found) == expected
        assert found.notes == ("1 of 2 cases lacks the contrast t2, which is 0 there: Case7",)
    assert files(collect(("t2", "t1"), [source], out))[0][0] == "Case6.nii.gz"
    assert collect(("t2", "t1"), [source], out).jobs[0][0].name == "Case6_t2.nii.gz", "the first gives the grid"
    cases = find_cases(two_contrasts, contrasts=T1_T2)[0].split("test")
    assert case_jobs(cases, out) == collect(T1_T2, [two_contrasts], out).jobs
    assert exams_of(cases) == collect(T1_T2, [two_contrasts], out).exams
    table = tmp_path / "anywhere.csv"
    table.write_text(f"case,contrast,image\nx,t2,{source}/Case6_t2.nii.gz\nx,t1,{source}/Case7_t1.nii.gz\n")
    assert files(collect(T1_T2, [table], out)) == [("x.nii.gz", {"t1": "Case7_t1.nii.gz", "t2": "Case6_t2.nii.gz"})]


def test_channels_of_nnunet_are_counted_in_a_folder_where_all_are_numbered(tmp_path: Path) -> None:
    for name in ("a_0000", "a_0001", "b_0001"):
        (tmp_path / "in" / f"{name}.nii.gz").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.nii.gz").write_bytes(b"")
    expected = [("a.nii.gz", {"t1": "a_0000.nii.gz", "t2": "a_0001.nii.gz"}), ("b.nii.gz", {"t2": "b_0001.nii.gz"})]
    found = collect(T1_T2, [tmp_path / "in"], tmp_path)
    assert files(found) == expected
    assert f"in {tmp_path / 'in'} no file says what the numbers" in found.notes[0]
    assert "_0000 is t1, _0001 is t2, as the network counts them" in found.notes[0]
    (tmp_path / "in" / "c_0007.nii.gz").write_bytes(b"")  # numbers of cases, then
    with pytest.raises(DataError, match=r"which one a_0000\.nii\.gz is cannot be told"):
        collect(T1_T2, [tmp_path / "in"], tmp_path)


def test_one_exam_may_be_named_file_by_file(two_contrasts: Path, tmp_path: Path) -> None:
    source = two_contrasts / "test" / "source"
    scan = shutil.copy(source / "Case6_t1.nii.gz", tmp_path / "scan.nii.gz")
    other = source / "Case6_t2.nii.gz"
    found = collect(T1_T2, [Path(scan)], tmp_path / "out", named={"T2": other})
    assert files(found) == [("scan.nii.gz", {"t1": "scan.nii.gz", "t2": "Case6_t2.nii.gz"})]
    swapped = collect(T1_T2, [other], tmp_path / "out", named={"t1": Path(scan)})
    assert swapped.jobs[0][0] == other, "the input gives the grid"
    assert files(swapped)[0][0] == "Case6.nii.gz"
    alone = collect(T1_T2, [], tmp_path / "out", named={"t2": Path(scan)})
    assert files(alone) == [("scan.nii.gz", {"t2": "scan.nii.gz"})]
    for inputs, named, why in (
        ([scan], {"pd": other}, "the network sees no contrast 'pd'. It sees t1, t2"),
        ([scan], {"t1": other, "t2": other}, f"which contrast {scan} is cannot be told"),
        ([other], {"t2": scan}, f"{other} is t2 by its name, and so is {scan}"),
        ([], {"t2": other, "T2": scan}, "the contrast t2 is given twice, also as 'T2'"),
        ([scan, other], {"t1": scan}, "contrasts are named of one exam, and 2 inputs are given"),
    ):
        with pytest.raises(UsageError, match=why.replace(".", r"\.")):
            collect(T1_T2, [Path(path) for path in inputs], tmp_path / "out", named=named)
    with pytest.raises(UsageError, match=r"the network sees one image, and no contrasts such as t2"):
        collect((), [Path(scan)], tmp_path / "out", named={"t2": other})
    with pytest.raises(DataError, match=r"does not exist"):
        collect(T1_T2, [Path(scan)], tmp_path / "out", named={"t2": tmp_path / "nowhere.nii.gz"})
    with pytest.raises(
        DataError, match=r"the network sees the contrasts t1, t2, and which one scan\.nii\.gz is cannot"
    ):
        collect(T1_T2, [Path(scan)], tmp_path / "out")


def test_a_dataset_with_a_table_gives_its_test_cases_and_the_table_by_itself_all(
    two_contrasts: Path, tmp_path: Path
) -> None:
    rows = ["case,contrast,image,split"]
    rows += [f"{n},t1,{part}/source/Case{n}_t1.nii.gz,{part}" for n, part in ((1, "train"), (6, "test"))]
    table = two_contrasts / "contrasts.csv"
    table.write_text("\n".join(rows))
    assert [name for name, _ in files(collect(T1_T2, [two_contrasts], tmp_path))] == ["6.nii.gz"]
    assert [name for name, _ in files(collect(T1_T2, [table], tmp_path))] == ["1.nii.gz", "6.nii.gz"]
    table.write_text("\n".join(rows[:2]))
    assert [name for name, _ in files(collect(T1_T2, [two_contrasts], tmp_path))] == ["1.nii.gz"]


def test_an_image_of_two_exams_is_refused(two_contrasts: Path, tmp_path: Path, run: Path) -> None:
    t1, t2 = (two_contrasts / "test" / "source" / f"Case6_{name}.nii.gz" for name in T1_T2)
    tables = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for table, other in zip(tables, (t2, t2.with_name("Case7_t1.nii.gz")), strict=True):
        table.write_text(f"case,contrast,image\nx,t1,{t1}\nx,t2,{other}\n")
    with pytest.raises(DataError, match=rf"{t1} is given in two exams, with {t2} and .*Case7_t1\.nii\.gz"):
        collect(T1_T2, tables, tmp_path)
    with pytest.raises(DataError, match=r"is given in two exams"):
        spine_ignite.predict(run, [{"t1": t1, "t2": t2}, {"t1": t1}], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_one_image_for_two_contrasts_is_refused(two_contrasts: Path, tmp_path: Path, run: Path) -> None:
    t1 = two_contrasts / "test" / "source" / "Case6_t1.nii.gz"
    copied = Path(shutil.copy(t1, tmp_path / "copied.nii.gz"))
    for other in (t1, copied):
        why = rf"{other} \(t2\) is voxel for voxel the same image as {t1} \(t1\)"
        (result,) = spine_ignite.predict(run, {"t1": t1, "t2": other}, tmp_path / "out")
        assert re.match(why, str(result.error))
        with pytest.raises(DataError, match=why):
            spine_ignite.predict(run, {"t1": t1, "t2": other})
    with pytest.raises(UsageError, match=r"the contrast t1 is given twice"):
        spine_ignite.predict(run, {"t1": t1, "T1": copied})


@pytest.fixture
def run(tmp_path: Path, write_run: Callable[..., Path]) -> Path:
    """A network of t1 and t2 with random weights."""
    path = write_run(tmp_path / "run", "data.contrasts=[t1,t2]")
    for file in (path / "checkpoints").iterdir():
        state = torch.load(file, weights_only=True)
        state["description"]["contrasts"] = ["t1", "t2"]
        torch.save(state, file)
    return path


def test_commands_and_python_give_the_same_labels(
    two_contrasts: Path, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t1, t2 = (two_contrasts / "test" / "source" / f"Case6_{name}.nii.gz" for name in T1_T2)
    out = tmp_path / "one"
    assert command(["predict", str(run), str(t1), "--contrast", f"t2={t2}", "-o", str(out)]) == 0
    expected = np.asarray(nib.load(out / "Case6.nii.gz").dataobj)
    record = json.loads((out / "Case6.json").read_text())
    assert record["contrasts"]["t2"]["image"] == str(t2)
    capsys.readouterr()
    assert command(["predict", str(run), str(two_contrasts), "-o", str(tmp_path / "all")]) == 0
    assert "Note: 1 of 2 cases lacks the contrast t2, which is 0 there: Case7" in capsys.readouterr().err
    numbered = tmp_path / "numbered"
    numbered.mkdir()
    for number, file in enumerate((t1, t2)):
        shutil.copy(file, numbered / f"a_{number:04d}.nii.gz")
    of_training = {"contrasts": {"data.root": {"by": "dataset.json", "channels": {"t1": 1, "t2": 0}}}}
    (run / "environment.json").write_text(json.dumps(of_training))
    assert command(["predict", str(run), str(numbered), "-o", str(tmp_path / "counted")]) == 0
    assert "as the network counts them; in training _0000 is t2, _0001 is t1; if" in capsys.readouterr().err
    assert command(["predict", str(run), str(t1), str(t1.parent), "--contrast", f"t2={t2}", "-o", str(out)]) == 2
    assert "contrasts are named of one exam, and 2 inputs are given" in capsys.readouterr().err
    assert command(["predict", str(run), "-o", str(out)]) == 2
    assert command(["predict", str(run), str(t1), "--contrast", "t2", "-o", str(out)]) == 2
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "all" / "Case6.nii.gz").dataobj), expected)
    one, two = nib.load(t1), nib.load(t2)
    in_memory = spine_ignite.predict(run, {"T2": two, "t1": (one.get_fdata(), one.affine)})
    np.testing.assert_array_equal(in_memory, expected)
    np.testing.assert_array_equal(spine_ignite.predict(run, [{"t1": t1, "t2": t2}])[0].get_fdata(), expected)
    (result,) = spine_ignite.predict(run, {"t1": t1, "t2": t2}, tmp_path / "python")
    np.testing.assert_array_equal(np.asarray(nib.load(result.output).dataobj), expected)
    without = spine_ignite.predict(run, {"t1": t1}).get_fdata()
    assert (without != expected).any(), "the second contrast counts"
    for image in (t1, one):
        with pytest.raises(UsageError, match=r"it is not said which one"):
            spine_ignite.predict(run, image)
    with pytest.raises(UsageError, match=r"the network sees no contrast 'pd'"):
        spine_ignite.predict(run, {"pd": t1})
    far = nib.Nifti1Image(
        np.asarray(two.dataobj), two.affine + np.array([[0, 0, 0, 0]] * 2 + [[0, 0, 0, 90]] + [[0] * 4])
    )
    with pytest.raises(DataError, match=r"t2 of the image \(t2\) covers 0 % of the field of view of "):
        spine_ignite.predict(run, {"t1": one, "t2": far})


def test_views_and_a_second_member_see_the_contrasts(two_contrasts: Path, tmp_path: Path, run: Path) -> None:
    t1, t2 = (two_contrasts / "test" / "source" / f"Case6_{name}.nii.gz" for name in T1_T2)
    exam = {"t1": t1, "t2": t2}
    alone, views = (spine_ignite.predict(run, exam, tta=tta, device="cpu").get_fdata() for tta in (False, True))
    assert alone.shape == views.shape
    both = spine_ignite.predict([run, run], exam, checkpoints=("best", "last")).get_fdata()
    assert both.shape == alone.shape


def test_labels_of_an_exam_are_found_again_with_the_image_that_they_lie_on(
    two_contrasts: Path, tmp_path: Path, run: Path
) -> None:
    source = two_contrasts / "test" / "source"
    found = collect(T1_T2, [source], tmp_path / "labels")
    assert all(
        r.error is None for r in predict_files(load_predictor(run, InferenceOptions()), found.jobs, exams=found.exams)
    )
    labels = sorted((tmp_path / "labels").glob("*.nii.gz"))
    paired = match_images(volume_files(source), labels)
    assert {key: image and image.name for key, (image, _) in paired.items()} == {
        "6": "Case6_t1.nii.gz",
        "7": "Case7_t1.nii.gz",
    }
    shutil.copy(source / "Case7_t1.nii.gz", source / "Case9.nii.gz")
    shutil.copy(labels[0], tmp_path / "labels" / "mask_case9.nii.gz")
    (tmp_path / "labels" / "Case7.json").unlink()
    paired = match_images(volume_files(source), sorted((tmp_path / "labels").glob("*.nii.gz")))
    assert paired["9"][0] == source / "Case9.nii.gz", "where no record tells, by case id"
    assert paired["7"][0] is None
    cohort = load_cohort(tmp_path / "labels", load_scheme("lumbar-vertebrae"), source)
    assert {case.name: case.problem for case in cohort if "image" in case.problem} == {
        "Case7": "it has no image in the folder of images"
    }
