"""Each diagnosis, provoked by a real training on a tiny dataset; and a sound training, of which nothing is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from numpy.typing import NDArray
from torch import Tensor, nn

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.hold_out import hold_out
from spine_ignite.errors import RunError
from spine_ignite.phantom import write_phantoms
from spine_ignite.training import setup
from spine_ignite.training.doctor.vitals import DeviceIdle
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import resume, train

Label = NDArray[np.uint8]
Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    """240 steps of a small U-Net with a validation every 20."""
    return load_config(
        None,
        [
            f"data.root={root}",
            "data.scheme=lumbar-vertebrae",
            "data.spacing=[2, 2]",
            "data.batch_size=2",
            "model.width=4",
            "model.depth=3",
            "optimizer.lr=1e-2",
            "train.epochs=12",
            "train.steps_per_epoch=20",
            "train.checkpoint_every=100",
            "augment.enabled=false",
            "precision=fp32",
            "threads=1",
            "log.tensorboard=false",
            *overrides,
        ],
    )


def findings(out: Path) -> dict[str, dict[str, Any]]:
    path = out / "doctor.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    codes = [row["code"] for row in rows]
    assert len(codes) == len(set(codes)), "each is told once"
    return {row["code"]: row for row in rows}


def examined(settings: RunConfig, out: Path) -> dict[str, dict[str, Any]]:
    """Train and return what the doctor wrote, which is what it said."""
    lines: list[str] = []
    train(settings, out, echo=lines.append)
    found = findings(out)
    said = [line for line in lines if line.startswith("Doctor")]
    assert said == [f"Doctor:    {row['sentence']} {row['advice']}" for row in found.values()]
    return found


def change_training_masks(root: Path, change: Callable[[Label], Label]) -> None:
    """Rewrite the masks of the cases that are trained on; those of validation stay right."""
    names = {f"Case{n}" for n in range(1, 5)}
    names -= hold_out(names, 0, validation=0.2, folds=5, fold=None)
    change_masks([root / "train" / "label" / f"mask_{name.lower()}.nii.gz" for name in sorted(names)], change)


def change_masks(paths: Sequence[Path], change: Callable[[Label], Label]) -> None:
    for path in paths:
        mask = nib.load(path)
        nib.save(nib.Nifti1Image(change(np.asarray(mask.dataobj).astype(np.uint8)), mask.affine, mask.header), path)


def merge_levels(mask: Label) -> Label:
    """Sacrum, vertebra, disc: what 240 steps can tell apart."""
    return np.select([mask >= 11, mask >= 2], [np.uint8(11), np.uint8(2)], mask).astype(np.uint8)


def test_a_sound_training_is_not_commented(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_phantoms(data, train=3, test=0, num_slices=3)
    change_masks(sorted((data / "train" / "label").iterdir()), merge_levels)
    settings = config(data, "data.scheme=mrspineseg", "data.spacing=[6, 6]", "augment.enabled=true", "model.width=8")
    assert examined(settings, tmp_path / "run") == {}
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["validation/dice"] > 0.5, "it is sound"


def test_a_class_that_training_lacks_is_never_predicted(tiny_dataset: Path, tmp_path: Path) -> None:
    change_training_masks(tiny_dataset, lambda mask: np.where(mask == 3, 0, mask).astype(np.uint8))
    found = examined(config(tiny_dataset), tmp_path / "run")
    assert found.keys() == {"class-never-predicted"}
    assert "the reference has it: L4." in found["class-never-predicted"]["sentence"]


def test_nearly_empty_training_masks_give_all_background(tiny_dataset: Path, tmp_path: Path) -> None:
    """Wholly empty ones are refused."""
    corner = np.zeros((48, 64, 5), np.uint8)
    corner[:3, :3, 0] = 2
    change_training_masks(tiny_dataset, lambda _mask: corner)
    found = examined(config(tiny_dataset, "loss.name=ce"), tmp_path / "run")
    assert (
        "background in the last 3 validations, though the reference has 3 structures"
        in (found["all-background"]["sentence"])
    )
    assert "class-never-predicted" not in found, "one word for one thing"


def test_masks_with_other_labels_let_the_loss_fall_and_the_dice_stand(tiny_dataset: Path, tmp_path: Path) -> None:
    """Training masks that name each vertebra after its neighbour: learnt well, and always wrong."""
    table = np.array([0, 0, 3, 4, 2], np.uint8)
    change_training_masks(tiny_dataset, lambda mask: table[mask])
    found = examined(config(tiny_dataset), tmp_path / "run")
    assert "the validation Dice stands at 0." in found["loss-falls-dice-stands"]["sentence"]


def test_masks_of_other_cases_are_learnt_by_heart(tiny_dataset: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    change_training_masks(tiny_dataset, lambda mask: np.roll(mask, rng.integers(10, 40, 2), axis=(0, 1)))
    found = examined(config(tiny_dataset, "model.width=16", "loss.name=ce"), tmp_path / "run")
    assert "while the validation loss rose from" in found["overfitting"]["sentence"]


def test_a_rate_far_too_high(tiny_dataset: Path, tmp_path: Path) -> None:
    found = examined(config(tiny_dataset, "optimizer.lr=10", "train.epochs=2"), tmp_path / "run")
    assert found.keys() == {"learning-rate-too-high"}
    assert "a tenth of optimizer.lr" in found["learning-rate-too-high"]["advice"]


def test_a_rate_far_too_low(tiny_dataset: Path, tmp_path: Path) -> None:
    found = examined(config(tiny_dataset, "optimizer.lr=1e-12", "train.epochs=3"), tmp_path / "run")
    assert found.keys() == {"learning-rate-too-low"}
    assert "find-lr" in found["learning-rate-too-low"]["advice"]


def test_exploding_gradients_are_told_before_the_run_ends_with_an_error(tiny_dataset: Path, tmp_path: Path) -> None:
    """Nothing holds them: no normalisation, no clipping."""
    settings = config(
        tiny_dataset, "optimizer.name=sgd", "optimizer.lr=10", "train.clip_norm=null", "model.norm=none", "loss.name=ce"
    )
    lines: list[str] = []
    with pytest.raises(RunError, match="the loss is not finite at step"):
        train(settings, tmp_path / "run", echo=lines.append)
    found = findings(tmp_path / "run")
    assert found.keys() == {"learning-rate-too-high", "exploding-gradients"}
    assert "is not finite at step" in found["learning-rate-too-high"]["sentence"]
    assert sum(line.startswith("Doctor:") for line in lines) == 2


class DeepSigmoid(nn.Module):
    """What networks were before ReLU, skip connections and normalisation."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Sigmoid()) for _ in range(20)]
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *layers, nn.Conv2d(4, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def test_gradients_vanish_on_their_way_through_sigmoids(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "create_model", lambda name, channels, classes, **options: DeepSigmoid(classes))
    found = examined(config(tiny_dataset, "train.epochs=3", "schedule.name=constant"), tmp_path / "run")
    assert "The gradients vanish: those of the first layers" in found["vanishing-gradients"]["sentence"]


def test_a_loader_that_computes_for_long_starves_the_device(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = config(
        tiny_dataset,
        "augment.enabled=true",
        "augment.torchio=[{RandomMotion: {num_transforms: 50}}]",
        "train.epochs=1",
        "train.steps_per_epoch=40",
    )
    found = examined(settings, tmp_path / "run")
    assert found.keys() == {"starved-device"}
    assert "The device waits for data" in found["starved-device"]["sentence"]


def test_a_resumed_run_goes_on_with_what_its_doctor_knew(tiny_dataset: Path, tmp_path: Path, stopped: Stopped) -> None:
    """Stopped after the diagnosis: it is not told again, and the record is that of the run that was never stopped."""
    settings = config(
        tiny_dataset, "optimizer.lr=1e-12", "train.epochs=6", "train.steps_per_epoch=8", "data.foreground_share=1"
    )
    examined(settings, tmp_path / "whole")
    with stopped(44):
        assert train(settings, tmp_path / "parts", echo=lambda line: None).exit_code == 143
    lines: list[str] = []
    resume(tmp_path / "parts", echo=lines.append)
    assert not [line for line in lines if line.startswith("Doctor")]
    whole, parts = ((tmp_path / name / "doctor.jsonl").read_text() for name in ("whole", "parts"))
    assert whole == parts != ""


def test_weights_do_not_depend_on_the_doctor(tiny_dataset: Path, tmp_path: Path) -> None:
    for name in ("true", "false"):
        train(config(tiny_dataset, "train.epochs=1", f"log.doctor={name}"), tmp_path / name, echo=lambda line: None)
    first, second = (
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True)["model"]
        for name in ("true", "false")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not (tmp_path / "false" / "doctor.jsonl").exists()
    row = json.loads((tmp_path / "false" / "metrics.jsonl").read_text())
    assert not [key for key in row if key.startswith("doctor/")]


def test_vital_signs_are_those_of_the_run(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    """Plain SGD, one step an epoch: an update is the rate times the clipped gradient, weight by weight."""
    settings = config(
        tiny_dataset, "optimizer.name=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0", "optimizer.lr=0.5",
        "train.clip_norm=1e9", "train.epochs=1", "train.steps_per_epoch=1", "schedule.name=constant",
        "schedule.warmup=0", "data.validation=0",
    )  # fmt: skip
    seen: dict[str, Any] = {}

    def look(trainer: Engine, _evaluator: Engine, run: Any) -> None:
        def note(engine: Any) -> None:
            pairs = [(p.detach(), p.grad) for p in run.network.parameters()]
            seen["norm"] = math.sqrt(sum(float((g**2).sum()) for _, g in pairs))
            first = [(p[:1], g[:1]) for p, g in pairs if p.ndim > 1]
            change = math.sqrt(sum(float((0.5 * g).square().sum()) for _, g in first))
            seen["ratio"] = change / math.sqrt(sum(float(p.square().sum()) for p, _ in first))

        trainer.add_event_handler(TrainingEvents.GRADIENTS_READY, note)

    with plugged(look):
        train(settings, tmp_path / "run", echo=lambda line: None)
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert row["doctor/gradient_norm"] == pytest.approx(seen["norm"], rel=1e-4)
    assert row["doctor/update_ratio"] == pytest.approx(seen["ratio"], rel=1e-3)
    assert row["doctor/first_loss"] == pytest.approx(row["train/loss"], rel=1e-5)
    assert 0 <= row["doctor/waiting"] <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_with_work_in_its_queue_is_not_idle_while_the_process_waits() -> None:
    device = torch.device("cuda")
    stopwatch = DeviceIdle(device)
    matrix = torch.rand(4096, 4096, device=device)
    seconds = {}
    for work in (200, 0):
        torch.cuda.synchronize()
        stopwatch.reset()
        for _ in range(work):
            matrix @ matrix
        stopwatch.start()
        sum(range(300_000))  # the loader computes
        stopwatch.stop()
        seconds[work] = stopwatch.read()
    assert seconds[200] < 0.5 * seconds[0]
