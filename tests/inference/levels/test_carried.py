"""What an exported network says of its calibration: which weights it holds for, and nothing of anybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spine_ignite.inference.export import export_run
from spine_ignite.inference.levels.calibration import (
    Calibration,
    JudgedColumn,
    basis_of,
    read_calibration,
    write_calibration,
)
from spine_ignite.inference.levels.carried import CHANGED, checkpoint_in
from spine_ignite.inference.levels.exponents import naming_settings
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.members import load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.labels import load_scheme
from spine_ignite.runs.exported import fingerprint
from spine_ignite.volumes.digests import file_sha256

RunWriter = Callable[..., Path]
CPU = InferenceOptions(device="cpu")


@pytest.fixture
def fold(tmp_path: Path, write_run: RunWriter) -> Path:
    """A fold of a cross-validation that is calibrated by forty columns, numbered as cases are listed."""
    run = write_run(tmp_path / "miller" / "fold0", "predict.postprocess=[levels]")
    (run.parent / "cross-validation.yaml").write_text("")
    member = {"weights": file_sha256(run / "checkpoints/best.pt"), "views": ["as it is"], "window": None}
    settings = {"members": [{**member, "overlap": None}], "postprocess": ["levels"], "naming": naming_settings()}
    rng = np.random.default_rng(0)
    columns = tuple(JudgedColumn(round(float(p), 4), True, n) for n, p in enumerate(rng.uniform(0.6, 1, 40)))
    known = Familiarity.fit([{"step_mm": float(mm), "noise": 0.1} for mm in rng.normal(36, 2, 40)])
    basis = basis_of(settings, load_scheme("lumbar-vertebrae"))
    write_calibration(run.parent / "calibration.json", Calibration(basis, columns, known))
    return run


def said(path: Path, posterior: float = 0.9) -> str:
    return load_predictor(path, CPU).certifier.judge(posterior, False, False).calibration


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change the header and the weights of a file, and give it a checksum that fits."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["spine_ignite"])
    weights = load_file(path)
    change(header, weights)
    header["sha256"] = fingerprint(weights)
    save_file(weights, path, metadata={"spine_ignite": json.dumps(header)})


def test_a_file_of_a_fold_is_calibrated_as_the_fold_is(fold: Path, tmp_path: Path) -> None:
    made = export_run(fold, tmp_path / "away" / "net.safetensors")
    assert made.levels == "calibrated as in the cross-validation, by the columns of 40 patients"
    own, other = (load_predictor(path, CPU).certifier for path in (fold, made.path))
    assert own.basis == other.basis
    for risk in (0.02, 0.08, 0.2):
        for posterior in (0.5, 0.9, 0.9999):
            judged = [
                type(certifier)(risk, certifier.calibration, certifier.basis).judge(posterior, False, False)
                for certifier in (own, other)
            ]
            assert judged[0] == judged[1]
            assert judged[0].accepted == (risk > 0.073), "from 0.5 on, as forty patients support 7.3 %"
    for row in ({"step_mm": 36.0, "noise": 0.1}, {"step_mm": 60.0}, {"noise": 9.0}):
        assert own.unlike(row, False) == other.unlike(row, False)
    best = file_sha256(fold / "checkpoints/best.pt")
    assert checkpoint_in(made.path) == best
    options = InferenceOptions(device="cpu", checkpoints=(str(made.path),))
    (member,) = load_members(find_sources(fold), options, load_predictor(fold, CPU).device)
    assert member.record()["network"] == best, "as a checkpoint of its run it is the same network, too"
    assert export_run(fold, tmp_path / "again.safetensors").path.read_bytes() == made.path.read_bytes()
    again = export_run(fold, tmp_path / "copy.safetensors", checkpoint=str(made.path))
    assert said(again.path) == said(fold)


def test_what_leaves_tells_nobody_s_name_nor_place_in_the_list_of_cases(fold: Path, tmp_path: Path) -> None:
    content = export_run(fold, tmp_path / "net.safetensors").path
    kept, gone = read_calibration(fold.parent / "calibration.json"), find_sources(content)[0].calibration
    assert kept is not None
    assert gone is not None
    assert sorted(column.posterior for column in kept.columns) == [column.posterior for column in gone.columns]
    assert [column.patient for column in gone.columns] == list(range(40))
    key = "step_mm"
    assert [row[key] for row in gone.people.rows] != [row[key] for row in kept.people.rows]
    assert sorted(row[key] for row in gone.people.rows) == sorted(row[key] for row in kept.people.rows)
    assert b"miller" not in content.read_bytes()
    for change in ({"patient": "Miller"}, {"right": "Miller"}, {"asked": "Miller"}, {"note": "Miller"}):
        data = kept.to_dict()
        data["columns"][3] |= change
        with pytest.raises((ValueError, TypeError)):
            Calibration.from_dict(data)
    with pytest.raises(ValueError, match="another basis"):
        Calibration.from_dict({**kept.to_dict(), "basis": {**kept.basis, "folder": "/home/miller"}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half": True}, "it was calibrated with weights in single precision, and this file has them in half"),
        ({"file_format": "onnx"}, "it was calibrated in PyTorch, and what runs a program computes otherwise, if only"),
        ({"checkpoint": "last"}, "it was calibrated with other weights"),
        ({"calibration": False}, "its calibration was left out of the file"),
    ],
)
def test_other_weights_than_the_calibrated_ones_have_no_calibration_and_say_why(
    fold: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    suffix = ".onnx" if "file_format" in options else ".safetensors"
    made = export_run(fold, (tmp_path / "net").with_suffix(suffix), **options)
    assert made.levels is not None
    assert made.levels.startswith(f"uncalibrated: {words}")
    assert said(made.path) == made.levels
    assert find_sources(made.path)[0].calibration is None
    assert b"patient" not in made.path.read_bytes(), "nor does it take along what it has no use for"


def test_a_run_that_is_no_fold_says_nothing_of_it(tmp_path: Path, write_run: RunWriter) -> None:
    made = export_run(write_run(tmp_path / "run", "predict.postprocess=[levels]"))
    assert made.levels is None
    assert said(made.path).startswith("uncalibrated: no cases are known that this network has not seen")


def _other_weights(_: dict[str, Any], weights: dict[str, Any]) -> None:
    weights["head.bias"][0] += 1e-6


def _wrong_ones_are_right(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["calibration"]["columns"]["columns"][0]["posterior"] = 0.99999


def _other_spacing(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["description"]["spacing"] = [1.0, 1.1]


def _other_network(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["calibration"]["network"] = "a" * 64


def _another_version(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["calibration"]["columns"]["format"] = 1


def _no_columns(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["calibration"]["columns"] = {}


@pytest.mark.parametrize(
    "change",
    [_other_weights, _wrong_ones_are_right, _other_spacing, _other_network, _another_version, _no_columns],
)
def test_what_does_not_belong_together_is_uncalibrated(
    fold: Path, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    file = export_run(fold, tmp_path / "net.safetensors").path
    rewrite(file, lambda *_: None)
    assert said(file) == said(fold), "what is written anew as it was is the same"
    rewrite(file, change)
    predictor = load_predictor(file, CPU)
    assert predictor.certifier.judge(0.9999, False, False).calibration == f"uncalibrated: {CHANGED}"
    assert "network" not in predictor.members[0].record()


def test_another_clean_up_or_window_than_the_calibrated_one_is_found_as_for_the_run(fold: Path, tmp_path: Path) -> None:
    def learnt(header: dict[str, Any], _: dict[str, Any]) -> None:
        header["settings"]["predict"]["postprocess"] = ["levels", "holes"]

    file = export_run(fold, tmp_path / "net.safetensors").path
    options = InferenceOptions(device="cpu", window=(32, 32))
    judged = load_predictor(file, options).certifier.judge(0.9, False, False)
    assert judged.calibration == "uncalibrated: it was calibrated with other views or windows"
    rewrite(file, learnt)
    assert said(file) == "uncalibrated: it was calibrated with another clean-up"
