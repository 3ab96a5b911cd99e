"""What a plugin can bring, each in one file of tests/plugin_examples, installed beside a core that knows nothing of it.

The core's own diff for each of them is zero lines.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spine_ignite import cli
from spine_ignite.runs.checkpoints import read_checkpoint

Install = Callable[..., Path]
EXAMPLES = Path(__file__).parents[1] / "plugin_examples"
SMALL = (
    *("data.scheme=lumbar-vertebrae", "data.batch_size=4", "model.width=4", "model.depth=2", "threads=1"),
    *("train.epochs=2", "augment.enabled=false"),
)


@pytest.fixture
def example(install: Install) -> Callable[..., None]:
    """``example("metric")`` installs the plugin of this file as the distribution ``acme-metric``."""

    def put(name: str, group: str = "spine_ignite") -> None:
        install(f"acme-{name.replace('_', '-')}", (EXAMPLES / f"{name}.py").read_text(encoding="utf-8"), groups=[group])

    return put


@pytest.fixture
def spine_ignite(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``spine_ignite("train", …, keys=["a.b=c"])`` runs a command, which must succeed, and returns what it says."""

    def run(*arguments: object, keys: tuple[str, ...] = ()) -> str:
        code = cli.run([*map(str, arguments), *(word for key in keys for word in ("--set", key))])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return run


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_new_optimizer(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    """It trains, and its state is in the checkpoint: a run that is resumed ends as one that was not."""
    example("optimizer")
    lion = ("optimizer.name=lion", "optimizer.lr=3e-3", "optimizer.options.betas=[0.9,0.95]")
    keys = (*SMALL, *lion, "schedule.name=constant", "schedule.warmup=0")
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert "lion, constant schedule" in spine_ignite("train", "--data", tiny_dataset, "--out", parts, keys=keys)
    spine_ignite("train", "--resume", parts, keys=("train.epochs=3",))
    spine_ignite("train", "--data", tiny_dataset, "--out", whole, keys=(*keys, "train.epochs=3"))
    assert rows(whole)[-1]["train/loss"] < rows(whole)[0]["train/loss"]
    one, other = (read_checkpoint(run / "checkpoints/last.pt")["model"] for run in (parts, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_metric_per_epoch_shows_in_console_tensorboard_and_metrics(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    example("metric")
    run = tmp_path / "run"
    keys = (*SMALL, "train.metrics=[precision]", "train.epochs=4", "optimizer.lr=0.02")
    said = spine_ignite("train", "--data", tiny_dataset, "--out", run, keys=keys)
    recorded = rows(run)
    for row in recorded:
        for name in ("L5", "L4", "L3"):  # Dice is the harmonic mean of precision and recall
            precision, recall = (row[f"validation/{measure}/{name}"] for measure in ("precision", "recall"))
            if precision:
                assert row[f"validation/dice/{name}"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert recorded[-1]["validation/precision"] > 0.1
    assert f"  precision {recorded[-1]['validation/precision']:.4f}" in said
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = {event.step: event.value for event in events.Scalars("validation/precision")}
    wanted = {row["iteration"]: row["validation/precision"] for row in recorded if row["validation/precision"]}
    assert logged == pytest.approx(wanted)


def test_a_new_volume_format(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    """A dataset is converted, checked, trained on and predicted: all numbers are those of its NIfTI files."""
    other = tmp_path / "npz"
    for path in sorted(tiny_dataset.glob("*/*/*.nii.gz")):
        target = other / path.relative_to(tiny_dataset).with_name(path.name.replace(".nii.gz", ".npz"))
        target.parent.mkdir(parents=True, exist_ok=True)
        image = nib.load(path)
        np.savez(target, array=np.asarray(image.dataobj), affine=image.affine)
    example("volume_format")
    assert json.loads(spine_ignite("check", other, "--scheme", "lumbar-vertebrae", "--json"))["problems"] == []
    for name, data in (("a", tiny_dataset), ("b", other)):
        spine_ignite("train", "--data", data, "--out", tmp_path / name, keys=SMALL)
    assert [row["train/loss"] for row in rows(tmp_path / "a")] == [row["train/loss"] for row in rows(tmp_path / "b")]
    spine_ignite("predict", tmp_path / "a", tiny_dataset / "test/source", "-o", tmp_path / "of_a")
    spine_ignite("predict", tmp_path / "b", other / "test/source", "-o", tmp_path / "of_b")
    for path in sorted((tmp_path / "of_a").glob("*.nii.gz")):
        wanted = nib.load(path)
        with np.load(tmp_path / "of_b" / path.name.replace(".nii.gz", ".npz")) as found:
            np.testing.assert_array_equal(found["array"], np.asarray(wanted.dataobj))
            np.testing.assert_allclose(found["affine"], wanted.affine)


def test_a_tracker(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    example("tracker")
    run = tmp_path / "run"
    columns = ["epoch", "train/loss", "validation/iou"]
    trackers = f"log.trackers=[{{name: csv, options: {{columns: {json.dumps(columns)}}}}}]"
    spine_ignite("train", "--data", tiny_dataset, "--out", run, keys=(*SMALL, trackers))
    spine_ignite("train", "--resume", run, keys=("train.epochs=3",))
    with (run / "epochs.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [[float(row[column]) for column in columns] for row in table] == [
        [row[column] for column in columns] for row in rows(run)
    ]
    assert len(table) == 3


def test_a_clean_up_step(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    """A network that has hardly learnt speckles: what is predicted with the step has no piece below its size."""
    from scipy import ndimage

    example("cleanup_step")
    run, images = tmp_path / "run", tiny_dataset / "test/source"
    keys = (*SMALL, "predict.postprocess=[specks]")
    spine_ignite("train", "--data", tiny_dataset, "--out", run, keys=keys)
    spine_ignite("predict", run, images, "-o", tmp_path / "clean")
    spine_ignite("predict", run, images, "-o", tmp_path / "raw", "--postprocess", "none")
    removed = 0
    for path in sorted((tmp_path / "clean").glob("*.nii.gz")):
        clean, raw = (nib.load(folder / path.name) for folder in (tmp_path / "clean", tmp_path / "raw"))
        found = np.asarray(clean.dataobj)
        for value in np.unique(found[found > 0]):
            pieces, count = ndimage.label(found == value)
            assert np.bincount(pieces.ravel())[1:].min(initial=10**9) * 4 >= 200 or not count
        removed += int((found != np.asarray(raw.dataobj)).sum())
    assert removed > 0
    said = json.loads(spine_ignite("postprocess", run, "--json"))
    assert said[-1]["step"].startswith("specks"), "it is tried after the core's own"


def test_a_command(
    example: Callable[..., None], spine_ignite: Callable[..., str], tiny_dataset: Path, tmp_path: Path
) -> None:
    example("command", "spine_ignite.commands")
    shown = subprocess.run(
        [sys.executable, "-m", "spine_ignite", "--help"], check=True, capture_output=True, text=True
    ).stdout
    assert "Say how large each structure of label volumes is." in shown
    mask = tiny_dataset / "train/label/mask_case1.nii.gz"
    said = spine_ignite("sizes", mask, "--scheme", "lumbar-vertebrae")
    block = 20 * 13 * 3 * 4 / 1000  # voxels of 4 mm³
    assert said == f"mask_case1.nii.gz: L5 {block:.1f}, L4 {block:.1f}, L3 {block:.1f}\n"
