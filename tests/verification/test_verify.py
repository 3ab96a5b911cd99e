"""What was changed is named; what fits is not; what hashes cannot tell is told by computing again, or by the head."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from spine_ignite import cli
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.evaluation.postprocess_search import learn_postprocess
from spine_ignite.training.run import resume, train
from spine_ignite.verification.verify import verify

Tamper = Callable[[Path], None]


def rewritten(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def edited(path: Path, value: int) -> None:
    """Set a block of a volume."""
    volume = nib.load(path)
    array = np.asanyarray(volume.dataobj).copy()
    array[20:26, 20:26, 2:4] = value
    nib.save(nib.Nifti1Image(array, volume.affine, volume.header), path)


def other_mask(root: Path) -> None:
    edited(root / "dataset" / "train" / "label" / "mask_case2.nii.gz", 4)


def other_image(root: Path) -> None:
    edited(root / "dataset" / "test" / "source" / "Case5.nii.gz", 300)


def other_split(root: Path) -> None:
    def swap(record: Any) -> None:
        record["training"][0], record["validation"][0] = record["validation"][0], record["training"][0]

    rewritten(root / "run" / "split.json", swap)


def other_key(root: Path) -> None:
    path = root / "run" / "config.yaml"
    record = yaml.safe_load(path.read_text())
    record["optimizer"]["lr"] = 0.5
    path.write_text(yaml.safe_dump(record))


def other_seed(root: Path) -> None:
    path = root / "run" / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 5"))


def other_weight(root: Path) -> None:
    path = root / "run" / "checkpoints" / "best.pt"
    saved = torch.load(path, weights_only=True)
    next(value for name, value in saved["model"].items() if name.endswith("weight")).mul_(-1)
    torch.save(saved, path)


def other_number(root: Path) -> None:
    path = root / "run" / "evaluation" / "test" / "cases.csv"
    rows = list(csv.DictReader(path.open()))
    rows[0]["dice"] = "0.987"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def swapped_predictions(root: Path) -> None:
    one, two = (root / "run" / "predictions" / "test" / f"Case{n}.nii.gz" for n in (5, 6))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def other_naming(root: Path) -> None:
    """Levels that another version has named, of the same voxels."""
    rewritten(root / "run" / "predictions" / "test" / "Case5.json", lambda record: record.update(naming={"model": 1}))


def other_version(root: Path) -> None:
    path = root / "run" / "environment.json"
    path.write_text(path.read_text().replace("spine-ignite-unet 0.1.0", "spine-ignite-unet 9.9"))


def other_figure(root: Path) -> None:
    path = root / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["train/loss"] = 0.01
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lost_file(root: Path) -> None:
    (root / "run" / "evaluation" / "test" / "confusion.csv").unlink()


NAMED = {
    other_mask: "data: the mask of Case2 (",
    other_image: "data: the image of Case5 (",
    other_split: "split.json: it is not the file that entry 1 (training) recorded",
    other_key: "config.yaml: it is not the file that entry 1 (training) recorded",
    other_seed: "config.yaml: it is not the file that entry 1 (training) recorded",
    other_weight: "checkpoints/best.pt: it is not the file that entry 1 (training) recorded",
    other_number: "evaluation/test/cases.csv: it is not the file that entry 2 (evaluation) recorded",
    swapped_predictions: "predictions/test/Case6.nii.gz: it is not the file that entry 2 (evaluation) recorded",
    other_version: "environment.json: it is not the file that entry 1 (training) recorded",
    other_figure: "metrics.jsonl: it is not the file that entry 1 (training) recorded",
    lost_file: "evaluation/test/confusion.csv: it is gone, which was recorded by entry 2 (evaluation)",
}


def test_what_was_not_touched_fits(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(trained / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] is True
    assert told["checked"] == {"files": 14, "images and masks": 12, "records": 3, "label volumes": 2, "tables": 4}
    assert (
        told["head"] == hashlib.sha256((trained / "run" / "manifest.jsonl").read_bytes().splitlines()[-1]).hexdigest()
    )
    assert cli.run(["verify", str(trained / "run"), "--expect", told["head"][:12]]) == 0
    assert f"{trained / 'run'} is what its manifest says" in capsys.readouterr().out


@pytest.mark.parametrize("tamper", NAMED, ids=lambda tamper: tamper.__name__)
def test_each_change_is_named(copy: Path, tamper: Tamper, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(copy)
    assert cli.run(["verify", str(copy / "run"), "--quick", "--data", str(copy / "dataset")]) == 1
    out = capsys.readouterr().out
    assert f"Does not fit: {NAMED[tamper]}" in out
    assert all(len(line) < 400 for line in out.splitlines())


def forged(root: Path) -> None:
    """Rewrite the hashes of files in records and in the whole chain."""
    run, former = root / "run", "0" * 64
    lines = (run / "manifest.jsonl").read_bytes().splitlines()
    sha256 = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.nii.gz")}
    for path in (run / "predictions" / "test").glob("*.nii.gz"):
        rewritten(
            path.with_name(path.name.replace(".nii.gz", ".json")), lambda r, p=path: r.update(labels_sha256=sha256[p])
        )
    tables = run / "evaluation" / "test"
    rewritten(
        tables / "summary.json",
        lambda r: r.update(tables={n: hashlib.sha256((tables / n).read_bytes()).hexdigest() for n in r["tables"]}),
    )
    with (run / "manifest.jsonl").open("w") as file:
        for line in lines:
            entry = json.loads(line)
            entry["files"] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in entry["files"]}
            if "weights" in entry["settings"]:
                entry["settings"]["weights"] = [
                    entry["files"].get("checkpoints/best.pt", w) for w in entry["settings"]["weights"]
                ]
            text = json.dumps({**entry, "former": former})
            file.write(text + "\n")
            former = hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (other_number, "evaluation/test/cases.csv: dice of Case5, "),
        (swapped_predictions, "predictions/test/Case5.nii.gz: "),
        (other_naming, "predictions/test/Case5.nii.gz's record: naming"),
        (other_key, "config.yaml: it is not the configuration that checkpoints/best.pt was trained with"),
        (other_seed, "split.json: it is by seed 0, and the seed in config.yaml is 5"),
        (other_split, "checkpoints/best.pt: it was not trained on 1 images of split.json's training cases"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_forgery_is_found_by_computing_again(copy: Path, tamper: Tamper, says: str) -> None:
    tamper(copy)
    head = verify(copy / "run", quick=True).head
    forged(copy)
    hashes = verify(copy / "run", data=copy / "dataset", quick=True).findings.wrong
    assert not any("is not the file" in sentence for sentence in hashes)
    found = verify(copy / "run", data=copy / "dataset").findings
    assert any(sentence.startswith(says) for sentence in found.wrong), found.wrong
    assert any("was never its head" in s for s in verify(copy / "run", expect=head, quick=True).findings.wrong)


def test_an_entry_that_leaves_something_out_is_found(copy: Path) -> None:
    """A forger who judges again without the worst case, or keeps a file out of the chain, has consistent hashes."""
    run = copy / "run"
    first, second = (json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines())
    del second["data"]["Case6"]
    del first["files"]["checkpoints/best.pt"]
    second["files"] = {name: sha256 for name, sha256 in second["files"].items() if "Case6" not in name}
    (run / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (first, second)))
    forged(copy)
    wrong = verify(run, data=copy / "dataset").findings.wrong
    assert "evaluation/test: Case6 of the split was not judged" in wrong
    assert "manifest.jsonl: no entry records checkpoints/best.pt" in wrong
    (run / "manifest.jsonl").write_text((run / "manifest.jsonl").read_text().splitlines()[0] + "\n")
    unchecked = verify(run, data=copy / "dataset").findings.unchecked
    assert unchecked == ["evaluation/test/summary.json: no entry of the manifest records it"]


def test_a_forged_figure_of_training_is_found_by_training_again_alone(copy: Path) -> None:
    other_figure(copy)
    forged(copy)
    assert verify(copy / "run", data=copy / "dataset").findings.fits
    wrong = verify(copy / "run", data=copy / "dataset", again=["."]).findings.wrong
    assert [sentence.split(" is ")[0] for sentence in wrong] == ["metrics.jsonl: train/loss of epoch 1"]


def test_a_forgery_that_nothing_else_can_tell_has_another_head(copy: Path) -> None:
    head = verify(copy / "run", quick=True).head
    path = copy / "run" / "manifest.jsonl"
    path.write_text(path.read_text().replace('"processor"', '"processor that was not there": "", "processor"'))
    forged(copy)
    assert verify(copy / "run", data=copy / "dataset", again=["."]).findings.fits
    wrong = verify(copy / "run", data=copy / "dataset", expect=head).findings.wrong
    assert len(wrong) == 1
    assert f"{head} was expected, which was never its head" in wrong[0]


def test_what_came_after_the_expected_head_does_not_count(copy: Path) -> None:
    """An honest entry for a number that was changed convinces nobody who knows the head of before."""
    head = verify(copy / "run", quick=True).head
    evaluate(copy / "run", data=copy / "dataset", tolerance=1.0)
    assert verify(copy / "run", data=copy / "dataset").findings.fits
    found = verify(copy / "run", data=copy / "dataset", expect=head).findings
    assert found.notes[0].startswith("1 entries came after")
    assert any(s.startswith("evaluation/test/summary.json: it is not the file that entry 2") for s in found.wrong)


def test_runs_that_were_stopped_made_longer_or_given_minutes_are_trained_again_bit_for_bit(
    trained: Path, tmp_path: Path, stopped: Callable[[int], Any], tiny: Callable[..., Any]
) -> None:
    with stopped(8):
        train(tiny(trained / "dataset", "train.ema=0.9"), tmp_path / "stopped", echo=silent)
    assert verify(tmp_path / "stopped", again=["."]).findings.unchecked == [
        "the training: it cannot be repeated, since it has not come to its end; go on with it first"
    ]
    resume(tmp_path / "stopped", echo=silent)
    resume(tmp_path / "stopped", ["train.epochs=3"], echo=silent)
    train(tiny(trained / "dataset", "train.epochs=null", "train.minutes=0.02"), tmp_path / "minutes", echo=silent)
    for run in ("stopped", "minutes"):
        found = verify(tmp_path / run, again=["."]).findings
        assert found.fits, (run, found.wrong, found.unchecked)
        assert found.checked["trained weights"] == 2


def test_a_clean_up_that_replaces_label_volumes_is_no_alarm(copy: Path) -> None:
    run, data = copy / "run", copy / "dataset"
    point_at(run, data)
    evaluate(run, split="validation")
    learn_postprocess(run)
    evaluate(run)
    found = verify(run).findings
    assert found.fits, (found.wrong, found.unchecked)
    assert found.checked["tables"] == 8


def test_what_cannot_be_checked_is_told_and_is_no_success(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(copy / "run"), "--data", str(copy / "nowhere")]) == 1
    out = capsys.readouterr().out
    assert f"Not checked:  images and masks: dataset {copy / 'nowhere'} is not here; say with --data where it is" in out
    (copy / "run" / "manifest.jsonl").unlink()
    with pytest.raises(RunError, match="has no manifest.jsonl to verify it by"):
        verify(copy / "run")
    assert cli.run(["verify"]) == 2


def test_a_part_that_is_not_there_is_refused(trained: Path) -> None:
    with pytest.raises(UsageError, match="has no part 'fold9'. Its parts: none: it is a single run"):
        verify(trained / "run", cells=["fold9"])


def point_at(run: Path, data: Path) -> None:
    """Let a copy of a run name its own dataset, as the run that it is a copy of did; its manifest begins anew."""
    path = run / "config.yaml"
    record = yaml.safe_load(path.read_text())
    record["data"]["root"] = str(data)
    path.write_text(yaml.safe_dump(record, sort_keys=False))
    entry = json.loads((run / "manifest.jsonl").read_text().splitlines()[0])
    entry["files"]["config.yaml"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "manifest.jsonl").write_text(json.dumps(entry) + "\n")


def silent(_line: str) -> None:
    pass
