"""The whole of training, on a tiny dataset, from Python."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import RunError, UsageError
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}",
            "data.scheme=lumbar-vertebrae",
            "data.batch_size=3",
            "model.width=4",
            "model.depth=3",
            "train.epochs=3",
            "train.ema=0.9",
            "precision=fp32",
            "threads=1",
            "log.tensorboard=false",
            *overrides,
        ],
    )


def quiet(_line: str) -> None:
    pass


def weights(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True)["model"])


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_writes_what_it_promises(tiny_dataset: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "run"
    settings = config(tiny_dataset, "log.tensorboard=true", "log.volumes_every=2", "data.context_slices=1")
    result = train(settings, out, echo=lines.append)
    assert (result.epochs, result.exit_code) == (3, 0)
    text = "\n".join(lines)
    for fact in ("Device:    cpu with 1 thread, fp32", "unet, ", "3 input channels, 8 classes", "slices for training"):
        assert fact in text
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert {"train/loss", "lr", "validation/dice", "validation/iou/L5", "slices_per_second"} <= records[0].keys()
    assert result.best_dice == pytest.approx(max(record["validation/dice"] for record in records))
    assert json.loads((out / "environment.json").read_text())["data_fingerprint"]
    assert load_config(out / "config.yaml").data.size == (64, 48), "what the data decided is written down"
    assert [p.name for p in (out / "predictions" / "epoch_2").iterdir()] == [f"{_held_out(out)}.nii.gz"]
    tags = EventAccumulator(str(out / "tensorboard")).Reload().Tags()
    assert {"train/loss", "lr", "validation/dice"} <= set(tags["scalars"])
    assert tags["images"] == [], "what shows scans is apart"
    pictures = EventAccumulator(str(out / "tensorboard" / "pictures"), size_guidance={"images": 0}).Reload()
    assert [len(pictures.Images(tag)) for tag in pictures.Tags()["images"]] == [3]
    assert not list(out.rglob(".part-*"))


def _held_out(out: Path) -> str:
    (held_out,) = read_split(out / "split.json").validation
    return held_out.name


def test_the_resolved_configuration_repeats_the_run(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "first", echo=quiet)
    train(load_config(tmp_path / "first" / "config.yaml"), tmp_path / "second", echo=quiet)
    first, second = (weights(tmp_path / name / "checkpoints" / "last.pt") for name in ("first", "second"))
    assert equal(first, second)
    train(config(tiny_dataset, "seed=1"), tmp_path / "third", echo=quiet)
    assert not equal(first, weights(tmp_path / "third" / "checkpoints" / "last.pt"))


@pytest.mark.parametrize("stop_at", [2, 5, 8])
@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.lr_factors={encoder: 0.1, head: 2}", "optimizer.bias_factor=2", "train.clip_value=0.01"],
        ["data.sampling=patches", "data.patch.size=[32, 32]"],
        ["data.phantoms=3", "data.phantom_options.slices=2", "data.spacing=[4, 4]"],
    ],
)
def test_a_run_stopped_at_any_step_resumes_bit_for_bit(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped, stop_at: int, overrides: list[str]
) -> None:
    """A signal in mid-epoch saves; what follows equals the run that was never stopped, averages and best included."""
    settings = config(tiny_dataset, "train.accumulate=2", "train.patience=50", *overrides)
    train(settings, tmp_path / "whole", echo=quiet)
    with stopped(stop_at):
        result = train(settings, tmp_path / "parts", echo=quiet)
    assert result.exit_code == 143
    assert stop_at <= result.iterations <= stop_at + 1, "a group of accumulated steps is finished"
    resume(tmp_path / "parts", echo=quiet)
    for name in ("last.pt", "best.pt"):
        whole, parts = (
            torch.load(tmp_path / run / "checkpoints" / name, weights_only=True) for run in ("whole", "parts")
        )
        assert equal(whole["model"], parts["model"])
        if name == "last.pt":
            assert equal(whole["ema"], parts["ema"])
            assert whole["early_stop"] == parts["early_stop"]
        else:
            assert whole["best"] == parts["best"]
    timed = ("minutes", "seconds", "slices_per_second", "doctor/step_seconds", "doctor/waiting")
    first, second = (
        [{key: value for key, value in row.items() if key not in timed} for row in rows(tmp_path / name)]
        for name in ("whole", "parts")
    )
    assert first == second, "the mean loss of the epoch is that of all its steps, too"


def test_a_damaged_checkpoint_costs_an_epoch_and_nothing_else(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    whole = torch.load(last, weights_only=True)
    last.write_bytes(last.read_bytes()[:-2000])
    lines: list[str] = []
    resume(tmp_path / "run", echo=lines.append)
    assert any("last.pt cannot be read" in line and "previous.pt" in line for line in lines)
    assert any(line.startswith("Resuming:  at step") and line.endswith("epoch 2") for line in lines)
    resumed = torch.load(last, weights_only=True)
    assert equal(whole["model"], resumed["model"])
    assert equal(whole["ema"], resumed["ema"])
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]


def test_a_checkpoint_that_holds_anything_anywhere_is_told_in_a_sentence(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    whole = torch.load(last, weights_only=True)
    for part, value in itertools.product(("budget", "schedule", "trainer", "early_stop"), (7, torch.zeros(2))):
        torch.save({**whole, part: value}, last)
        with pytest.raises(RunError, match=r"last\.pt cannot be resumed from: .*; start a new run with: spine-ignite"):
            resume(tmp_path / "run", ["train.epochs=4"], echo=quiet)


def test_a_finished_run_says_so_and_can_be_made_longer(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    with pytest.raises(RunError, match="has come to its end .3 epochs"):
        resume(tmp_path / "run", echo=quiet)
    assert resume(tmp_path / "run", ["train.epochs=4"], echo=quiet).epochs == 4


def test_early_stopping(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = config(tiny_dataset, "train.epochs=40", "train.patience=2", "optimizer.lr=1e-12", "train.ema=null")
    result = train(settings, tmp_path / "run", echo=quiet)
    assert result.epochs < 40


def test_a_time_budget_ends_the_run_with_a_validation(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = config(tiny_dataset, "train.epochs=null", "train.minutes=0.05", "train.validate_every=1000")
    result = train(settings, tmp_path / "run", echo=quiet)
    assert result.best_dice is not None
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["iteration"] == result.iterations
    assert "validation/dice" in last
    assert last["lr"] < 1e-3


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    settings = config(
        tiny_dataset, "optimizer.name=sgd", "optimizer.lr=1e30", "train.clip_norm=null", "train.epochs=50"
    )
    with pytest.raises(RunError, match=r"the loss is not finite at step \d+ .*, with the batch of Case\d slice \d, "):
        train(settings, tmp_path / "run", echo=quiet)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    if last.exists():
        assert all(torch.isfinite(v).all() for v in weights(last).values() if v.is_floating_point())


def test_a_mistake_leaves_no_run_directory_behind(tiny_dataset: Path, tmp_path: Path) -> None:
    for override, error in (
        ("model.widht=4", UsageError),
        ("model.name=nothing", UsageError),
        ("loss.name=nothing", UsageError),
        ("device=cuda:77", RunError),
    ):
        with pytest.raises(error):
            train(config(tiny_dataset, override), tmp_path / "run", echo=quiet)
        assert not (tmp_path / "run").exists()


def test_a_run_that_another_process_made_meanwhile_is_not_replaced(tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def meanwhile(cases: Sequence[Any]) -> Sequence[Any]:
        train(config(tiny_dataset, f"data.cache={tmp_path / 'other'}", "train.epochs=1"), out, echo=quiet)
        return cases

    with pytest.raises(RunError, match="holds a run already; resume it with --resume .*, or replace it with --force"):
        train(config(tiny_dataset), out, progress=meanwhile, echo=quiet)
    assert load_config(out / "config.yaml").train.epochs == 1, "it is still the other's"
    assert (out / "checkpoints" / "last.pt").is_file()


def test_an_image_that_is_trained_on_and_tested_is_told(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset, "train.epochs=1"), tmp_path / "first", echo=quiet)
    trained = read_split(tmp_path / "first" / "split.json").training[0].name
    shutil.copy(tiny_dataset / f"train/source/{trained}.nii.gz", tiny_dataset / "test/source/Case5.nii.gz")
    lines: list[str] = []
    train(config(tiny_dataset, "train.epochs=1"), tmp_path / "run", echo=lines.append)
    warnings = [line for line in lines if line.startswith("Warning")]
    assert warnings == [
        f"Warning:   {trained} (training) and Case5 (test) are the same image, which flatters the result"
    ]
