from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.config import load_config
from spine_ignite.crossval.cross_validate import CrossValidation, cross_validate
from spine_ignite.crossval.folds_plan import recorded_config
from spine_ignite.evaluation.column_right import judge_column
from spine_ignite.hub.hub_folder import export_hub
from spine_ignite.inference.export import export_run
from spine_ignite.inference.inputs import collect_jobs
from spine_ignite.inference.levels.bounds import percent
from spine_ignite.inference.levels.calibration import read_calibration
from spine_ignite.inference.levels.exponents import NAMING, naming_settings
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.levels.label_files import level_files
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import predict
from spine_ignite.labels import load_scheme
from spine_ignite.review.certificates import read_certificate
from spine_ignite.volumes.origin import PHANTOM

CASES = 12
CERTIFICATE = ("verdict", "risk", "calibration", "rests_on")


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory, write_volume: Callable[..., Path]) -> Path:
    """A dataset of columns of three vertebrae that a small network learns at once: each has a grey value of its own."""
    root, rng = tmp_path_factory.mktemp("columns"), np.random.default_rng(0)
    for number in range(1, CASES + 2):
        split = "train" if number <= CASES else "test"
        label = np.zeros((48, 64, 7), np.uint8)
        for place, value in enumerate((2, 3, 4)):
            low = 4 + 19 * place + int(rng.integers(3))
            label[14:36, low : low + 15, 1:6] = value
        image = 100 * label + rng.normal(0, 3, label.shape)
        write_volume(root / split / "source" / f"Case{number}.nii.gz", image.astype(np.int16), (1.5, 1.5, 4))
        write_volume(root / split / "label" / f"mask_case{number}.nii.gz", label, (1.5, 1.5, 4))
    return root


@pytest.fixture(scope="module")
def calibrated(columns: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossValidation, list[str]]:
    said: list[str] = []
    settings = (
        *("data.scheme=lumbar-vertebrae", "data.spacing=[1.5,1.5]", "data.size=[64,64]", "data.folds=2"),
        *("data.batch_size=4", "model.width=8", "model.depth=2", "train.epochs=14", "optimizer.lr=0.01", "device=cpu"),
        *("log.tensorboard=false", "augment.enabled=false", "predict.postprocess=[levels]", "predict.risk=0.35"),
    )
    config = load_config(None, settings, given={"data.root": columns})
    return cross_validate(config, tmp_path_factory.mktemp("out") / "folds", pictures=0, echo=said.append), said


def named(run: Path, image: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Predict one image, and return what is said of its column."""
    (result,) = predict(run, collect_jobs([image], out), options=InferenceOptions(device="cpu", **options))
    assert result.error is None
    said: dict[str, Any] = json.loads((out / f"{image.name.removesuffix('.nii.gz')}.levels.json").read_text())["column"]
    return said


def verdict_by_rule(said: dict[str, Any]) -> str:
    """The verdict by what else is written: whether one new case is unlike twelve is a matter of rounding."""
    accepted = said["posterior"] >= said["rests_on"]["threshold"] and not said["asked_for"]
    return "accepted" if accepted else "ask"


def test_what_is_learnt_out_of_fold_judges_a_new_column(
    calibrated: tuple[CrossValidation, list[str]], columns: Path, tmp_path: Path
) -> None:
    result, echoed = calibrated
    root, image = result.directory, columns / "test" / "source" / f"Case{CASES + 1}.nii.gz"
    kept = read_calibration(root / "calibration.json")
    assert kept is not None
    assert result.summary is not None
    assert len(kept.columns) == CASES
    for column, case in zip(kept.columns, result.summary.cases, strict=True):
        described = json.loads((root / "out-of-fold" / f"{case.case}.levels.json").read_text())
        judged = judge_column(case.confusion, range(1, 8))
        assert judged is not None
        assert (column.posterior, column.right) == (described["column"]["posterior"], judged.is_right)
        assert described["column"]["verdict"] == "ask"
        rows = [row for other, row in zip(kept.columns, kept.people.rows, strict=True) if other is not column]
        unlike = Familiarity.fit(rows).reasons(described["input"]["traits"])
        assert column.asked == bool(unlike or described["column"]["asked_for"])
    assert sorted(column.patient for column in kept.columns) == list(range(CASES))
    assert sum(column.right for column in kept.columns) == CASES
    assert any(line.startswith(f"Columns of people: {CASES} of {CASES} named right; from a") for line in echoed)
    assert (len(kept.people.rows), len(kept.phantoms.rows)) == (CASES, 0)
    counted = sum(not column.asked for column in kept.columns)

    for run in (root, root / "fold1"):
        said = named(run, image, tmp_path / f"of_{run.name}")
        assert (said["verdict"], said["risk"]) == (verdict_by_rule(said), 0.35)
        assert said["rests_on"]["patients_above"] == counted
    sheet = read_certificate(tmp_path / "of_folds" / f"Case{CASES + 1}.nii.gz")
    said = json.loads((tmp_path / "of_folds" / f"Case{CASES + 1}.levels.json").read_text())["column"]
    assert (sheet.verdict, sheet.risk) == (said["verdict"], 0.35)
    assert sheet.calibration.startswith(f"of {counted} patients with a posterior of at least")

    said = named(root, image, tmp_path / "strict", risk=0.02)
    assert (said["verdict"], said["risk"]) == ("ask", 0.02)
    supported = percent(1 - 0.05 ** (1 / counted))
    assert f"{counted} patients, none of them with a wrong column, support {supported}" in said["calibration"]
    (again,) = level_files([tmp_path / "strict" / image.name], load_scheme("lumbar-vertebrae"), risk=0.34)
    assert again.described is not None
    assert again.described["column"] == {**said, **{k: again.described["column"][k] for k in CERTIFICATE}}
    assert again.described["column"]["risk"] == 0.34
    assert again.described["column"]["verdict"] == verdict_by_rule(again.described["column"])
    said = named(root / "fold0", image, tmp_path / "last", checkpoints=("last",))
    assert said["calibration"] == "uncalibrated: it was calibrated with other weights"
    said = named(root, image, tmp_path / "windows", window=(32, 32))
    assert said["calibration"] == "uncalibrated: it was calibrated with other views or windows"

    volume = nib.load(image)
    volume.header["descrip"] = PHANTOM
    nib.save(volume, tmp_path / "phantom.nii.gz")
    said = named(root, tmp_path / "phantom.nii.gz", tmp_path / "phantoms")
    assert said["calibration"] == "uncalibrated: it was calibrated on people alone, which says nothing of phantoms"


def test_a_verdict_that_rests_on_something_else_is_not_left_as_it_is(
    calibrated: tuple[CrossValidation, list[str]], columns: Path, tmp_path: Path
) -> None:
    root, image = calibrated[0].directory, columns / "test" / "source" / f"Case{CASES + 1}.nii.gz"
    jobs = collect_jobs([image], tmp_path / "out")

    def again(risk: float) -> Any:
        (result,) = predict(root, jobs, options=InferenceOptions(device="cpu", risk=risk), skip_existing=True)
        return result

    assert again(0.35).error is None
    assert again(0.35).skipped
    assert "was made in another way (certificate" in again(0.34).error


def test_an_exported_fold_says_the_same_of_a_column_to_the_last_byte(
    calibrated: tuple[CrossValidation, list[str]], columns: Path, tmp_path: Path
) -> None:
    """Whatever the scan: familiar, one of the training cases, marked as a phantom, strange, or without a column."""
    root, away = calibrated[0].directory, tmp_path / "away"
    files = [export_run(root / f"fold{n}", away / f"net{n}.safetensors").path for n in range(2)]
    folder = export_hub(root / "fold1", away / "hub").folder
    images = [columns / "test" / "source" / f"Case{CASES + 1}.nii.gz", columns / "train" / "source" / "Case2.nii.gz"]
    volume = nib.load(images[0])
    for name, scale, descrip in (("phantom", 1, PHANTOM), ("strange", -1, ""), ("empty", 0, "")):
        changed = nib.Nifti1Image(scale * np.asarray(volume.dataobj), volume.affine, volume.header)
        changed.header["descrip"] = descrip
        images.append(tmp_path / f"{name}.nii.gz")
        nib.save(changed, images[-1])

    def said(source: Path, out: str, *ensemble: Path) -> dict[str, str]:
        options = InferenceOptions(device="cpu", ensemble=ensemble)
        results = predict(source, collect_jobs(images, tmp_path / out), options=options)
        assert [result.error for result in results] == [None] * len(images)
        return {path.name: path.read_text() for path in sorted((tmp_path / out).glob("*.levels.json"))}

    fold = said(root / "fold1", "fold")
    assert len(fold) == len(images)
    assert '"calibration": "of ' in fold[f"Case{CASES + 1}.levels.json"]
    assert "on people alone" in fold["phantom.levels.json"]
    assert said(files[1], "file") == said(folder, "hub") == fold
    assert said(files[0], "mean", files[1]) == said(root, "all"), "the files of all folds are the cross-validation"

    levels = [level_files([tmp_path / out / images[0].name], load_scheme("lumbar-vertebrae"), risk=0.45)
              for out in ("fold", "file")]  # fmt: skip
    assert levels[0][0].described == levels[1][0].described
    assert levels[0][0].described is not None
    assert levels[0][0].described["column"]["risk"] == 0.45
    assert levels[0][0].described["column"]["rests_on"]["patients_above"] > 0
    files[1].write_bytes(files[0].read_bytes())
    (after,) = level_files([tmp_path / "file" / images[0].name], load_scheme("lumbar-vertebrae"), risk=0.45)
    assert after.described is not None
    assert after.described["column"]["calibration"] == "uncalibrated: the file that predicted it is another by now"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| levels | calibrated as in the cross-validation, by the columns of {CASES} patients |" in card
    assert "without names, by which levels are accepted" in card
    assert "posterior" not in (folder / "config.json").read_text(encoding="utf-8")
    content = b"".join(path.read_bytes() for path in (files[0], *folder.iterdir()))
    for name in (str(columns), str(root), *(f"Case{n}" for n in range(1, CASES + 2)), *(f"case{n}" for n in range(2))):
        assert name.encode() not in content


def test_nothing_but_an_unchanged_prediction_has_the_verdict_of_one(
    calibrated: tuple[CrossValidation, list[str]], columns: Path, tmp_path: Path
) -> None:
    root, scheme = calibrated[0].directory, load_scheme("lumbar-vertebrae")
    image, volume = columns / "test" / "source" / f"Case{CASES + 1}.nii.gz", tmp_path / f"Case{CASES + 1}.nii.gz"
    levels = tmp_path / f"Case{CASES + 1}.levels.json"

    def verdicts(times: int) -> list[str]:
        found = [level_files([volume], scheme, risk=0.35)[0] for _ in range(times)]
        return [result.described["column"]["verdict"] for result in found if result.described is not None]

    was = named(root, image, tmp_path)["verdict"]
    assert verdicts(2) == [was, was], "what was judged again is still the prediction's"
    said = levels.read_text()
    strange = json.loads(said)
    strange["input"]["traits"] = dict.fromkeys(strange["input"]["traits"], 1000000.0)
    levels.write_text(json.dumps(strange))
    assert read_certificate(volume).verdict == "ask", "what is said was changed"
    levels.unlink()
    assert verdicts(2) == ["ask", "ask"], "a label map does not become a prediction by being named twice"

    named(root, image, tmp_path)
    assert read_certificate(volume).verdict == was
    label = nib.load(volume)
    changed = np.asarray(label.dataobj).copy()
    changed[0, 0, 0] = 2
    nib.save(nib.Nifti1Image(changed, label.affine, label.header), volume)
    assert read_certificate(volume).verdict == "ask", "the volume was changed"

    seen = sorted((root / "out-of-fold").glob("*.nii.gz"))
    kept = {file: file.read_bytes() for file in (root / "out-of-fold").iterdir()}
    found = level_files(seen, scheme, risk=0.45)
    for file, content in kept.items():
        file.write_bytes(content)
    assert {result.described["column"]["verdict"] for result in found if result.described is not None} == {"ask"}


def test_it_is_made_again_where_it_is_gone_and_left_where_it_is_not(
    calibrated: tuple[CrossValidation, list[str]],
) -> None:
    root = calibrated[0].directory
    file, before = root / "calibration.json", (root / "calibration.json").read_text()
    file.unlink()
    config = recorded_config(root, (), {})
    cross_validate(config, root, pictures=0, echo=lambda _line: None)
    assert file.read_text() == before
    record = next((root / "out-of-fold").glob("*1.json"))
    made = json.loads(record.read_text())
    assert made["naming"] == naming_settings()
    record.write_text(json.dumps({**made, "naming": {**made["naming"], "model": NAMING - 1}}))
    cross_validate(config, root, pictures=0, echo=lambda _line: None)
    assert json.loads(record.read_text())["naming"] == naming_settings(), "another model's names are made again"
    assert file.read_text() == before
    stamp = file.stat().st_mtime_ns
    cross_validate(config, root, pictures=0, echo=lambda _line: None)
    assert file.stat().st_mtime_ns == stamp


def test_without_levels_there_is_nothing_to_calibrate(validated: CrossValidation) -> None:
    assert not (validated.directory / "calibration.json").exists()
