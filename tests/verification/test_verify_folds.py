"""A cross-validation with its folds: one chain that holds the heads of theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spine_ignite.crossval.cross_validate import cross_validate
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.runs.manifest import head_of, read_chain
from spine_ignite.verification.verify import verify


def silent(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def folds(trained: Path, tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Any]) -> Path:
    root = tmp_path_factory.mktemp("folds") / "folds"
    cross_validate(tiny(trained / "dataset", "data.folds=2", "train.epochs=1"), root, pictures=0, echo=silent)
    return root


def test_folds_out_of_fold_tables_and_an_ensemble_fit_and_weights_are_trained_again(folds: Path) -> None:
    chain = read_chain(folds)
    assert chain is not None
    assert chain.parts == {"fold0": head_of(folds / "fold0"), "fold1": head_of(folds / "fold1")}
    head = chain.head
    evaluate(folds)
    evaluate(folds / "fold0")  # an entry that the whole's head knows nothing of
    found = verify(folds, again=["fold1"]).findings
    assert found.fits, (found.wrong, found.unchecked)
    assert found.checked["trained weights"] == 2
    assert found.checked["tables"] == 5 + 4 + 4
    early = verify(folds, expect=head, quick=True).findings
    assert early.fits, early.wrong
    one = verify(folds, cells=["fold0"]).findings
    assert one.checked["tables"] == 4


def test_what_does_not_fit_is_named_with_its_fold(folds: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folds, copy)
    record = json.loads((copy / "result.json").read_text())
    record["mean"]["dice"] += 0.1
    (copy / "result.json").write_text(json.dumps(record))
    lines = (copy / "fold1" / "manifest.jsonl").read_text().replace('"kind": "training"', '"kind": "prediction"')
    (copy / "fold1" / "manifest.jsonl").write_text(lines)
    wrong = verify(copy).findings.wrong
    assert any(s.startswith("result.json: it is not the file that entry 1 (cross-validation) recorded") for s in wrong)
    assert any(s.startswith("result.json: mean.dice is ") for s in wrong)
    assert any(s.startswith("fold1: manifest.jsonl: ") and "was never its head" in s for s in wrong)
    assert not any(s.startswith("fold0") for s in wrong)
