"""Which cases a run is judged on, whatever has become of the dataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.datasets.split import Split, read_split
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.evaluation.judged_cases import Judged, judged_cases
from spine_ignite.evaluation.postprocess_search import learn_postprocess
from spine_ignite.labels import load_scheme
from spine_ignite.report.extremes import extremes, load_cases
from spine_ignite.report.run_record import read_run
from spine_ignite.runs.directory import RunDirectory

RunWriter = Callable[..., Path]


def names(run: Path, split: Judged, data: Path | None = None) -> list[str]:
    return [case.name for case in judged_cases([RunDirectory(run)], split, data).cases]


def part(run: Path, name: Judged) -> list[str]:
    return [case.name for case in read_split(run / "split.json").part(name)]


def add_case(root: Path, name: str, like: str = "train/Case1") -> None:
    """A case of its own: another's image with some noise, and its mask."""
    split, case = like.split("/")
    image = nib.load(root / split / "source" / f"{case}.nii.gz")
    noise = np.random.default_rng(int(name[4:])).integers(0, 9, image.shape, np.int16)
    values = (np.asarray(image.dataobj) + noise).astype(np.int16)
    nib.save(nib.Nifti1Image(values, image.affine), root / split / "source" / f"{name}.nii.gz")
    shutil.copy(
        root / split / "label" / f"mask_{case.lower()}.nii.gz", root / split / "label" / f"mask_{name.lower()}.nii.gz"
    )


def test_cases_that_come_are_not_judged(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    """A fold stays what it was, whatever the seed; by today's files it would be another one for some of them."""
    runs = [
        write_run(tmp_path / f"run{seed}", f"data.root={tiny_dataset}", "data.folds=2", "data.fold=0", f"seed={seed}")
        for seed in range(10)
    ]
    before = [(part(run, "validation"), part(run, "test")) for run in runs]
    add_case(tiny_dataset, "Case10")
    add_case(tiny_dataset, "Case11", "test/Case5")
    for run, (validation, test) in zip(runs, before, strict=True):
        assert names(run, "validation") == validation
        assert names(run, "test") == test == ["Case5", "Case6"]
    noted = judged_cases([RunDirectory(runs[0])], "test").notes
    assert noted == (f"1 case is in {tiny_dataset} but in no part of the split: Case11",)


def test_evaluate_and_postprocess_read_the_record(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}", "data.folds=2", "data.fold=0")
    held_out = part(run, "validation")
    for number in (10, 11, 12):
        add_case(tiny_dataset, f"Case{number}")
    assert [case.case for case in evaluate(run, split="validation").cases] == held_out
    learn_postprocess(run)
    assert sorted(path.name for path in (run / "predictions" / "validation").glob("*.nii.gz")) == [
        f"{name}.nii.gz" for name in held_out
    ]
    (run / "split.json").unlink()
    for use in (lambda: evaluate(run), lambda: learn_postprocess(run)):
        with pytest.raises(RunError, match=r"run has no split\.json, so that its training, .*; train it again"):
            use()


def test_cases_that_are_gone_or_changed_are_named(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    source, label = tiny_dataset / "test" / "source", tiny_dataset / "test" / "label"
    kept = tmp_path / "kept"
    shutil.copytree(tiny_dataset, kept, ignore=shutil.ignore_patterns(".spine*"))

    def refusal() -> str:
        with pytest.raises(DataError) as caught:
            evaluate(run)
        shutil.copytree(kept, tiny_dataset, dirs_exist_ok=True)
        return str(caught.value)

    start = f"dataset {tiny_dataset} is not what {run / 'split.json'} records: "
    shutil.copy(label / "mask_case5.nii.gz", label / "mask_case6.nii.gz")
    assert refusal().startswith(f"{start}another mask has Case6; restore")
    shutil.copy(source / "Case5.nii.gz", source / "Case6.nii.gz")
    assert refusal().startswith(f"{start}another image has Case6; restore")
    (label / "mask_case6.nii.gz").unlink()
    assert refusal().startswith(f"{start}no mask has Case6; restore")
    (source / "Case6.nii.gz").unlink()
    (label / "mask_case6.nii.gz").unlink()
    assert refusal().startswith(f"{start}it has no case Case6; restore")
    (tiny_dataset / "train" / "source" / "Case1.nii.gz").unlink()
    assert names(run, "test") == ["Case5", "Case6"], "the training images may be elsewhere by then"


def test_a_test_mask_that_has_come_is_judged_by(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    masks = tiny_dataset / "test" / "label"
    masks.rename(tmp_path / "masks")
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    with pytest.raises(DataError, match="records has no case with a mask to judge by; judge another dataset, or cases"):
        evaluate(run)
    shutil.copytree(tmp_path / "masks", masks)
    assert names(run, "test") == ["Case5", "Case6"]


def test_another_dataset_is_judged_but_for_what_was_seen(
    tiny_dataset: Path, tmp_path: Path, write_run: RunWriter
) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    other = tmp_path / "other"
    for split, new in (("train", "images"), ("test", "images")):
        shutil.copytree(tiny_dataset / split / "source", other / new, dirs_exist_ok=True)
        shutil.copytree(tiny_dataset / split / "label", other / "masks", dirs_exist_ok=True)
    image = nib.load(other / "images" / "Case1.nii.gz")  # seen, but renamed, and stored as other numbers
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(np.float32), image.affine), other / "images/Case9.nii")
    (other / "masks" / "mask_case1.nii.gz").rename(other / "masks" / "mask_case9.nii.gz")
    (other / "images" / "Case1.nii.gz").unlink()
    judged = judged_cases([RunDirectory(run)], "test", other)
    assert [case.name for case in judged.cases] == ["Case5", "Case6"]
    assert judged.notes == (
        "left out, since the run was trained or validated on their images: Case2, Case3, Case4, Case9",
    )
    for name in ("Case5", "Case6"):
        (other / "images" / f"{name}.nii.gz").unlink()
        (other / "masks" / f"mask_{name.lower()}.nii.gz").unlink()
    with pytest.raises(DataError, match="was trained or validated on every labelled image of"):
        judged_cases([RunDirectory(run)], "test", other)


def test_a_dataset_that_has_moved_is_named_with_data(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    moved = tiny_dataset.rename(tmp_path / "moved")
    assert names(run, "validation", moved) == part(run, "validation")
    assert names(run, "test", moved) == ["Case5", "Case6"]


def test_a_patient_in_training_and_in_test_is_told(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    table = tmp_path / "who.csv"
    table.write_text("case,patient\nCase1,A\nCase2,B\nCase3,C\nCase4,D\nCase5,A\nCase6,E\n")
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}", f"data.patients={table}")
    role = "training" if "Case1" in part(run, "training") else "validation"  # type: ignore[arg-type]
    said: list[str] = []
    summary = evaluate(run, echo=said.append)
    assert said == [f"Case1 ({role}) and Case5 (test) are of one patient, which flatters the result"]
    assert summary.settings["notes"] == said


def test_members_are_not_judged_on_what_they_were_trained_on_wherever_it_lies(
    tiny_dataset: Path, tmp_path: Path, write_run: RunWriter
) -> None:
    """The second run had a copy of the dataset: equal images tell, not folders or names."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_dataset, copy, ignore=shutil.ignore_patterns(".spine*"))
    runs = [
        RunDirectory(write_run(tmp_path / f"fold{n}", f"data.root={root}", "data.folds=2", f"data.fold={n}"))
        for n, root in enumerate((tiny_dataset, copy))
    ]
    with pytest.raises(UsageError, match=r"fold1 was trained on 2 of the validation cases, Case\d for one"):
        judged_cases(runs, "validation")


def test_a_report_shows_no_image_that_has_changed(tiny_dataset: Path, tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    summary = evaluate(run)
    shutil.copy(tiny_dataset / "test/source/Case5.nii.gz", tiny_dataset / "test/source/Case6.nii.gz")
    shown = list(load_cases(read_run(run), extremes(summary.cases, 2), load_scheme("lumbar-vertebrae")))
    assert [case for case in shown if isinstance(case, str)] == [
        "Case Case6 cannot be shown: its image is another one than when the run began."
    ]
    assert isinstance(read_run(run).made_of, Split)


def test_a_list_can_hold_test_cases_where_the_layout_has_none(
    tiny_dataset: Path, tmp_path: Path, write_run: RunWriter
) -> None:
    spider = tmp_path / "spider"
    shutil.copytree(tiny_dataset / "train" / "source", spider / "images")
    shutil.copytree(tiny_dataset / "train" / "label", spider / "masks")
    (tmp_path / "list.yaml").write_text("training: [Case1, Case2]\nvalidation: [3]\ntest: [mask_case4]\n")
    run = write_run(tmp_path / "run", f"data.root={spider}", f"data.split={tmp_path / 'list.yaml'}")
    assert (names(run, "validation"), names(run, "test")) == (["Case3"], ["Case4"])
