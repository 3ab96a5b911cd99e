"""A study that was really trained and judged: what is changed in its tables, its cells or its seal is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from spine_ignite import cli
from spine_ignite.errors import RunError
from spine_ignite.report.methods_text import to_markdown
from spine_ignite.runs.manifest import head_of, read_chain
from spine_ignite.studies.cell import run_cell
from spine_ignite.studies.declaration import read_declaration
from spine_ignite.studies.making import Study, make_study
from spine_ignite.studies.study_methods import methods_of_study
from spine_ignite.studies.study_output import report_study
from spine_ignite.verification.verify import verify


def silent(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def study(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two settings of a small network on two folds; the report has been written."""
    root = tmp_path_factory.mktemp("study")
    settings = {
        "data.scheme": "lumbar-vertebrae", "data.batch_size": 4, "model.depth": 2, "train.epochs": 1,
        "train.steps_per_epoch": 4, "optimizer.lr": 0.02, "threads": 1, "precision": "fp32", "device": "cpu",
        "log.tensorboard": False,
    }  # fmt: skip
    declared = {
        "data": str(trained / "dataset"), "folds": 2, "set": settings,
        "models": [{"name": "unet", "set": {"model.width": 4}}],
        "settings": {"base": {}, "plain": {"augment.enabled": False}},
    }  # fmt: skip
    (root / "tiny.yaml").write_text(yaml.safe_dump(declared))
    made = make_study(read_declaration(root / "tiny.yaml"), root / "tiny")
    for cell in made.cells:
        assert run_cell(made.directory.root, cell.name, silent) == 0
    report_study(made, cost=False, resamples=200)
    return made


def test_a_study_fits_down_to_the_weights_of_a_cell(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    root = study.directory.root
    chain = read_chain(root)
    assert chain is not None
    assert chain.parts == {f"cells/{cell.name}": head_of(study.directory.run(cell.name).root) for cell in study.cells}
    found = verify(root, again=["unet-plain-fold1-seed0"]).findings
    assert found.fits, (found.wrong, found.unchecked)
    assert found.checked["trained weights"] == 2
    assert found.checked["tables"] == 5 + 4 * 4
    assert cli.run(["verify", str(root), "--cell", "unet-base-fold0-seed0", "--quick", "--expect", chain.head]) == 0
    assert cli.run(["verify", str(root), "--cell", "unet-base-fold7-seed0"]) == 2
    assert "Did you mean 'cells/unet-base-fold" in capsys.readouterr().err


def test_methods_of_a_study_say_once_what_is_the_same_for_all(study: Study, tmp_path: Path) -> None:
    found = methods_of_study(study, "validation")
    said = dict(found.paragraphs)
    assert "2 methods (unet-base, unet-plain) were trained 2 times each: on 2 folds" in said["Study"]
    assert said["Augmentation of unet-plain"] == "No augmentation was used."
    assert "elastic (p 0.2" in said["Augmentation of unet-base"]
    assert {"Preprocessing", "Network", "Training"} < said.keys()
    assert "not opened" in said["Data"]
    assert [row[0] for row in found.tables[0].rows] == ["unet-base", "unet-plain"]
    out = tmp_path / "methods.md"
    assert cli.run(["study", "report", str(study.directory.root), "--methods", "-o", str(out)]) == 0
    assert out.read_text() == to_markdown(found)
    with pytest.raises(RunError, match="has no report of the test cases"):
        methods_of_study(study, "test")


def test_what_was_changed_is_named_with_its_cell(study: Study) -> None:
    directory = study.directory
    changed = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}
    try:
        record = json.loads((directory.report("validation") / "study.json").read_text())
        record["cells"][0]["dice"] += 0.02
        (directory.report("validation") / "study.json").write_text(json.dumps(record))
        table = directory.report("validation") / "table.csv"
        rows = list(csv.reader(table.open()))
        rows[1][-1] = "0.99"
        table.write_text("\n".join(",".join(row) for row in rows) + "\n")
        seal = json.loads(directory.seal.read_text())
        directory.seal.write_text(json.dumps(seal | {"cases": seal["cases"][1:]}))
        metrics = directory.run("unet-base-fold1-seed0").metrics
        metrics.write_text(metrics.read_text().replace('"epoch": 1', '"epoch": 1, "x": 2'))
        wrong = verify(directory.root).findings.wrong
    finally:
        for path, content in changed.items():
            path.write_bytes(content)
    for start in (
        "report/validation/study.json: it is not the file that entry 1 (study) recorded",
        "the study: ",
        "cells/unet-base-fold1-seed0: metrics.jsonl: it is not the file that entry 1 (training) recorded",
    ):
        assert any(sentence.startswith(start) for sentence in wrong), (start, wrong)
    assert not any("fold0-seed0" in sentence for sentence in wrong)


def test_forged_cells_of_the_table_are_found_by_computing_again(study: Study) -> None:
    folder = study.directory.report("validation")
    former = {path: path.read_bytes() for path in folder.iterdir()}
    try:
        record = json.loads((folder / "study.json").read_text())
        record["cells"][0]["dice"] += 0.02
        (folder / "study.json").write_text(json.dumps(record))
        rows = [line.split(",") for line in (folder / "table.csv").read_text().splitlines()]
        place = rows[0].index("dice")
        rows[1][place] = "0.99"
        (folder / "table.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
        wrong = verify(study.directory.root).findings.wrong
    finally:
        for path, content in former.items():
            path.write_bytes(content)
    assert any(s.startswith("report/validation/study.json: cells.0.dice is ") for s in wrong), wrong
    assert any(s.startswith("report/validation/table.csv: dice of ") for s in wrong), wrong
