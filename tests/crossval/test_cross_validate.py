"""A cross-validation from its start to its end, in one go or in several."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events

from spine_ignite.config import load_config
from spine_ignite.crossval.cross_validate import CrossValidation, cross_validate, train_fold
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.inference.predict_files import predict
from spine_ignite.locks import lock_folder
from spine_ignite.volumes.digests import file_sha256

Configure = Callable[..., Any]


def quiet(config: Any, out: Path) -> CrossValidation:
    return cross_validate(config, out, pictures=1, echo=lambda _line: None)


def void(_value: object) -> None:
    """For lambdas that return nothing."""


def results(root: Path) -> dict[str, Any]:
    """What a cross-validation found, but for times and places."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in sorted(root.glob("out-of-fold/*.nii.gz"))}
    found |= {name: (root / "evaluation" / "out-of-fold" / name).read_text() for name in ("cases.csv", "classes.csv")}
    found |= {name: (root / name).read_text() for name in ("suspects.csv", "trained.json", "splits.json")}
    return found


def killed_at(plugged: Any, fold: int, step: int, action: Callable[[], None]) -> None:
    """Do it in a process that SIGKILL ends in a step of a fold."""
    if (child := os.fork()) == 0:

        def attach(trainer: Any, _evaluator: Any, run: Any) -> None:
            if run.config.data.fold == fold:
                trainer.add_event_handler(
                    Events.ITERATION_COMPLETED(once=step), lambda: os.kill(os.getpid(), signal.SIGKILL)
                )

        with plugged(attach):
            action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_every_case_is_held_out_once_and_judged_by_a_network_that_has_not_seen_it(validated: CrossValidation) -> None:
    root = validated.directory
    splits = [read_split(root / f"fold{number}" / "split.json") for number in range(2)]
    held_out = Counter(case.name for split in splits for case in split.validation)
    assert held_out == Counter(["Case1", "Case2", "Case3", "Case4"])
    record = json.loads((root / "splits.json").read_text())
    assert [set(fold["val"]) for fold in record["folds"]] == [{c.name for c in s.validation} for s in splits]
    for number, split in enumerate(splits):
        assert not {case.patient for case in split.training} & {case.patient for case in split.validation}
        for case in split.validation:
            made = json.loads((root / "out-of-fold" / f"{case.name}.json").read_text())
            assert [Path(member["run"]).name for member in made["members"]] == [f"fold{number}"]
    assert {case.case for case in read_tables(root / "evaluation" / "out-of-fold").cases} == set(held_out)
    assert validated.summary is not None
    rows = json.loads((root / "result.json").read_text())
    assert sum(fold["cases"] for fold in rows["folds"]) == 4
    assert rows["mean"]["dice"] == pytest.approx(np.mean([fold["dice"] for fold in rows["folds"]]))
    assert rows["spread"]["dice"] == pytest.approx(np.std([fold["dice"] for fold in rows["folds"]], ddof=1))


def test_all_folds_start_from_one_network(configure: Configure, tmp_path: Path, write_run: Any) -> None:
    """It is needed until they are trained, and recorded once for all."""
    source = write_run(tmp_path / "source")
    path = source / "checkpoints" / "best.pt"
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, "description": {**checkpoint["description"], "images": []}}, path)
    config, out = configure(f"train.start_from={source}"), tmp_path / "out"
    quiet(config, out)
    starts = [load_config(folder / "config.yaml").train.start_from for folder in (out / "fold0", out / "fold1")]
    assert starts[0] == starts[1] == load_config(out / "cross-validation.yaml").train.start_from
    assert starts[0] is not None
    assert starts[0].sha256 == file_sha256(path)
    path.unlink()
    quiet(config, out)


def test_a_killed_one_goes_on_to_the_same_result(
    validated: CrossValidation, configure: Configure, tmp_path: Path, plugged: Any
) -> None:
    out, config = tmp_path / "killed", configure()
    killed_at(plugged, 1, 4, lambda: void(quiet(config, out)))
    before = (out / "fold0" / "checkpoints" / "last.pt").stat().st_mtime_ns
    with pytest.raises(RunError, match="2 folds, of which 1 are trained; go on with: spine-ignite cross-validate"):
        predict(out, [])
    quiet(config, out)
    assert results(out) == results(validated.directory)
    assert (out / "fold0" / "checkpoints" / "last.pt").stat().st_mtime_ns == before


def test_a_kill_at_any_rename_between_the_folds_is_made_good(
    validated: CrossValidation, configure: Configure, tmp_path: Path, die_at_rename: Any
) -> None:
    # The renames of the last moments: those of fold 1's start, the note that a fold is trained, the tables.
    whole, config = results(validated.directory), configure()
    for number in (2, 4, 14):
        out = tmp_path / f"killed{number}"
        die_at_rename(number, True, lambda out=out: void(quiet(config, out)))
        quiet(config, out)
        assert results(out) == whole


def test_folds_at_once_give_the_same_bytes(validated: CrossValidation, configure: Configure, tmp_path: Path) -> None:
    """Each fold in a process of its own; what was trained in turn is left, and an interrupted one goes on."""
    out, said = tmp_path / "at-once", []
    result = cross_validate(configure(), out, pictures=1, echo=said.append, at_once=2)
    assert results(out) == results(validated.directory)
    assert result.suspects == validated.suspects
    assert {line.partition(" ")[0] for line in said} >= {"Begins:", "Trained:"}
    assert "Best validation Dice" in (out / "logs" / "fold1.log").read_text()
    again = cross_validate(configure(), out, pictures=1, echo=lambda _line: None, at_once=2)
    assert again.trained == 2


def test_a_fold_that_fails_among_others_is_told(configure: Configure, tmp_path: Path, install: Any) -> None:
    source = (
        "from spine_ignite.hookspecs import hookimpl\n@hookimpl\ndef attach_handlers(trainer, evaluator, run):\n"
        "    assert run.config.data.fold != 1, 'no such luck'\n"
    )
    install("acme-luck", source)
    out = tmp_path / "folds"
    with pytest.raises(RunError, match="1 fold of .* are not trained: fold1 ended with code 1; see .*fold1.log; go on"):
        cross_validate(configure("train.epochs=1"), out, echo=lambda _line: None, at_once=2)
    assert "no such luck" in (out / "logs" / "fold1.log").read_text()
    assert json.loads((out / "trained.json").read_text())["weights"].keys() == {"0"}
    with pytest.raises(UsageError, match="has no fold 2: its folds are numbered 0 to 1"):
        train_fold(out, 2)


def test_a_signal_stops_it_with_the_command_that_goes_on(configure: Configure, tmp_path: Path, stopped: Any) -> None:
    said: list[str] = []
    with stopped(1):
        result = cross_validate(configure(), tmp_path / "folds", echo=said.append)
    assert (result.exit_code, result.trained) == (143, 0)
    assert said[-1] == f"Go on with all folds: spine-ignite cross-validate --resume {tmp_path / 'folds'}"


def test_what_is_done_is_left(validated: CrossValidation, configure: Configure) -> None:
    root = validated.directory
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    again = quiet(load_config(root / "cross-validation.yaml"), root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
    assert again.suspects == validated.suspects
    assert quiet(configure(), root).trained == 2  # the same command again


def test_the_ensemble_is_the_mean_of_the_folds(validated: CrossValidation, tiny_dataset: Path, tmp_path: Path) -> None:
    from spine_ignite.inference.options import InferenceOptions
    from spine_ignite.inference.predictor import load_predictor
    from spine_ignite.volumes.volume import read_image

    volume = read_image(tiny_dataset / "test" / "source" / "Case5.nii.gz")
    options = InferenceOptions(device="cpu")

    def probabilities(path: Path) -> Any:
        return np.concatenate([b.numpy().copy() for b in load_predictor(path, options).probabilities(volume)[1]])

    folds = [probabilities(validated.directory / f"fold{number}") for number in range(2)]
    np.testing.assert_allclose(probabilities(validated.directory), np.mean(folds, axis=0), atol=1e-6)


def test_patients_stay_on_one_side(configure: Configure, tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\nCase1,anna\nCase2,bob\nCase3,anna\nCase4,bob\nCase5,carl\nCase6,dora\n")
    result = quiet(configure(f"data.patients={table}"), tmp_path / "folds")
    held_out = [fold["val"] for fold in json.loads((result.directory / "splits.json").read_text())["folds"]]
    assert sorted(held_out) == [["Case1", "Case3"], ["Case2", "Case4"]]
    assert {(s.case, s.patient) for s in result.suspects} >= {("Case1", "anna"), ("Case3", "anna"), ("Case4", "bob")}


def test_listed_splits_are_taken_as_folds(configure: Configure, tmp_path: Path) -> None:
    names = ["Case1", "Case2", "Case3", "Case4"]
    file = tmp_path / "splits_final.json"

    def write(*held_out: list[str]) -> None:
        file.write_text(json.dumps([{"train": [n for n in names if n not in val], "val": val} for val in held_out]))

    write(["Case1", "Case4"], ["Case1", "Case2"])
    with pytest.raises(DataError, match="each case must be held out once, but Case1, Case3 is in 0 or 2 folds"):
        quiet(configure(f"data.split={file}"), tmp_path / "folds")
    write(["Case1", "Case4"])
    with pytest.raises(UsageError, match="holds one split; a cross-validation needs a list"):
        quiet(configure(f"data.split={file}"), tmp_path / "folds")
    write(["Case1", "Case4"], ["Case2"], ["Case3"])
    result = quiet(configure(f"data.split={file}", "train.epochs=1"), tmp_path / "folds")
    assert [fold.cases for fold in result.per_fold] == [2, 1, 1]
    assert quiet(configure(f"data.split={file}", "train.epochs=1"), tmp_path / "folds").trained == 3


def test_another_configuration_or_other_data_is_refused(
    validated: CrossValidation, configure: Configure, tiny_dataset: Path
) -> None:
    root = validated.directory
    with pytest.raises(UsageError, match="begun otherwise: optimizer.lr was 0.001 and is 0.01; train.epochs was 2"):
        quiet(configure("optimizer.lr=0.01", "train.epochs=3"), root)
    with pytest.raises(UsageError, match="data.folds was 2 and is 3"):
        quiet(configure("data.folds=3"), root)
    mask = tiny_dataset / "train" / "label" / "mask_case3.nii.gz"
    image = nib.load(mask)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1].copy(), image.affine), mask)
    with pytest.raises(DataError, match=r"another mask has Case3"):
        quiet(configure(), root)


def test_a_fold_that_was_changed_since_is_refused(validated: CrossValidation, configure: Configure) -> None:
    best = validated.directory / "fold1" / "checkpoints" / "best.pt"
    best.write_bytes((validated.directory / "fold0" / "checkpoints" / "best.pt").read_bytes())
    with pytest.raises(RunError, match=r"best.pt is another network than when its training ended"):
        quiet(configure(), validated.directory)


def test_two_at_once_and_folders_of_others_are_refused(configure: Configure, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="did not make as a cross-validation, thesis.txt"):
        quiet(configure(), out)
    (out / "thesis.txt").unlink()
    if (child := os.fork()) == 0:
        with lock_folder(out, "is cross-validating in it"):
            (tmp_path / "held").write_text("")
            signal.pause()
    try:
        while not (tmp_path / "held").exists():
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        with pytest.raises(RunError, match=f"process {child}.* is cross-validating in it"):
            quiet(configure(), out)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_what_is_not_installed_is_told_before_anything_is_read_or_written(
    configure: Configure, tiny_dataset: Path, tmp_path: Path
) -> None:
    before = sorted(tiny_dataset.rglob("*"))
    for wrong in ("optimizer.name=lyon", "loss.name=dize", "train.metrics=[precisely]"):
        with pytest.raises(UsageError, match="there is no"):
            quiet(configure(wrong), tmp_path / "folds")
    assert sorted(tiny_dataset.rglob("*")) == before
    assert not (tmp_path / "folds").exists()


def test_a_mistake_that_stops_it_before_a_fold_began_can_be_mended(configure: Configure, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    with pytest.raises(UsageError, match="wdth"):
        quiet(configure("model.wdth=8"), out)
    with pytest.raises(UsageError, match="data.fold chooses one fold"):
        quiet(configure("data.fold=1"), out)
    with pytest.raises(DataError, match="fold 4 of 5 leaves a side empty"):
        quiet(configure("data.folds=5"), out)
    assert not out.exists()
    assert quiet(configure("train.epochs=1"), out).trained == 2
