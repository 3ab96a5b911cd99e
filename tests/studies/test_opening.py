"""The test set of a study: closed until all is done, opened once, every opening recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite.errors import DataError, RunError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.studies.cell import note_end, run_cell
from spine_ignite.studies.making import Study, make_study
from spine_ignite.studies.opening import judge_cell, open_test
from spine_ignite.studies.seal import judged_beside, read_openings, read_seal, record_opening
from spine_ignite.volumes.digests import file_sha256

Make = Callable[..., Study]


def quiet(study: Study) -> None:
    open_test(study, echo=lambda _line: None)


@pytest.fixture
def trained(make: Make) -> Study:
    """A study of one model and two folds, all done."""
    study = make(set={"train.epochs": 1})
    with pytest.raises(RunError, match="stays closed until all cells are done .2 cells: 2 waiting.; go on with"):
        quiet(study)
    for cell in study.cells:
        assert run_cell(study.directory.root, cell.name, lambda _line: None) == 0
    assert not list(study.directory.cells.glob("*/evaluation/test"))
    return study


@pytest.mark.slow
def test_it_is_opened_once_and_each_further_time_is_recorded(trained: Study) -> None:
    directory, names = trained.directory, [cell.name for cell in trained.cells]
    with pytest.raises(RunError, match="no opening of the test set of .* names this network of unet-base-fold0-seed0"):
        judge_cell(directory.root, names[0])
    quiet(trained)
    (opening,) = read_openings(directory)
    assert opening.seal == read_seal(directory).sha256
    assert opening.weights == {name: file_sha256(directory.run(name).best) for name in names}
    assert {case.case for case in read_tables(directory.run(names[1]).evaluation / "test").cases} == {"Case5", "Case6"}
    tables = directory.run(names[0]).evaluation / "test" / "summary.json"
    before = tables.stat().st_mtime_ns
    quiet(trained)
    assert read_openings(directory) == (opening,)
    assert tables.stat().st_mtime_ns == before
    tables.unlink()  # as if it had been interrupted
    quiet(trained)
    assert read_openings(directory) == (opening,)
    assert tables.is_file()
    shutil.copy(directory.run(names[1]).best, directory.run(names[0]).best)
    note_end(directory, names[0], "done", weights=file_sha256(directory.run(names[0]).best))
    quiet(trained)
    assert [len(found.weights) for found in read_openings(directory)] == [2, 2]
    assert judged_beside(directory, names) == []


def test_another_test_set_than_the_sealed_one_is_refused_and_not_opened(trained: Study, tiny_dataset: Path) -> None:
    directory = trained.directory
    mask = tiny_dataset / "test" / "label" / "mask_case6.nii.gz"
    kept = mask.read_bytes()
    mask.write_bytes((tiny_dataset / "test" / "label" / "mask_case5.nii.gz").read_bytes())
    with pytest.raises(DataError, match="sealed.json records: another mask has Case6"):
        quiet(trained)
    mask.write_bytes(kept)
    seal = json.loads(directory.seal.read_text())
    text = directory.seal.read_text()
    directory.seal.write_text(text.replace(seal["cases"][0]["mask"], seal["cases"][1]["mask"]))
    with pytest.raises(DataError, match="sealed.json was changed: its cases have another SHA-256 than it says"):
        quiet(trained)
    directory.seal.write_text(text)
    assert read_openings(directory) == ()
    evaluate(directory.run("unet-base-fold0-seed0").root)
    names = [cell.name for cell in trained.cells]
    assert judged_beside(directory, names) == ["unet-base-fold0-seed0"]
    record_opening(directory, read_seal(directory), {name: file_sha256(directory.run(name).best) for name in names})
    assert judged_beside(directory, names) == ["unet-base-fold0-seed0"]
    assert read_openings(directory)[0].beside == ("unet-base-fold0-seed0",)


def test_a_study_without_test_cases_has_nothing_to_open(
    declare: Callable[..., Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    from spine_ignite.studies.declaration import read_declaration

    shutil.rmtree(tiny_dataset / "test")
    study = make_study(read_declaration(declare()), tmp_path / "tiny")
    assert read_seal(study.directory).cases == ()
    for cell in study.cells:
        run = study.directory.run(cell.name)
        run.best.parent.mkdir(parents=True)
        run.best.write_text("")
        note_end(study.directory, cell.name, "done")
    with pytest.raises(DataError, match="has no test cases"):
        quiet(study)
