"""Runs on several datasets, of which each labels some of the classes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.training.run import resume, train

Writer = Callable[..., Path]


@pytest.fixture
def discs(tmp_path: Path, write_volume: Writer) -> Path:
    """A dataset whose masks label one disc, 12, and have voxels to be ignored."""
    root = tmp_path / "discs"
    rng = np.random.default_rng(2)
    for number in range(1, 5):
        label = np.zeros((48, 64, 5), np.uint8)
        label[10:30, 20:30] = 12
        label[:, :5] = 99
        write_volume(root / "train/source" / f"Case{number}.nii.gz", 300.0 * label + rng.normal(0, 9, label.shape))
        write_volume(root / "train/label" / f"mask_case{number}.nii.gz", label)
    scheme = {
        "name": "discs",
        "ignore": 99,
        "classes": [
            {"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]},
            {"value": 12, "name": "L4/L5", "kind": "disc", "color": [9, 9, 9]},
        ],
    }
    (tmp_path / "discs.yaml").write_text(yaml.safe_dump(scheme))
    return root


def config(root: Path, discs: Path, *overrides: str, **data: Any) -> RunConfig:
    section = {
        "root": root,
        "scheme": "mrspineseg",
        "masks": "lumbar-vertebrae",
        "also": [{"root": discs, "masks": str(discs.with_name("discs.yaml"))}],
        "batch_size": 4,
        **data,
    }
    base = ["model.width=4", "model.depth=3", "precision=fp32", "threads=1", "log.tensorboard=false", "train.epochs=2"]
    return load_config({"data": section}, [*base, *overrides])


def quiet(_line: str) -> None:
    pass


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints/last.pt", weights_only=True)["model"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("sampling", ["slices", "patches"])
def test_two_datasets_are_trained_on_together(tiny_dataset: Path, discs: Path, tmp_path: Path, sampling: str) -> None:
    """Resumed after one of them has moved, the run is the one that was not interrupted."""
    settings = [f"data.sampling={sampling}", "data.patch.size=[32,32]", "data.patch.queue_length=8"]
    settings += ["schedule.name=constant", "schedule.warmup=0", "train.validate_every=2"]
    train(config(tiny_dataset, discs, *settings), tmp_path / "whole", echo=quiet)
    rows = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(row["train/loss"]) for row in rows)
    assert math.isfinite(rows[-1]["validation/loss"])
    split = json.loads((tmp_path / "whole/split.json").read_text())
    assert {case["dataset"] for part in ("training", "validation") for case in split[part]} == {"dataset", "discs"}

    part = tmp_path / "part"
    train(config(tiny_dataset, discs, *settings, "train.epochs=1"), part, echo=quiet)
    data = yaml.safe_load((part / "config.yaml").read_text())
    data["data"]["also"][0]["root"] = str(discs.rename(tmp_path / "moved"))
    (part / "config.yaml").write_text(yaml.safe_dump(data))
    resume(part, ["train.epochs=2"], echo=quiet)
    whole, resumed = weights(tmp_path / "whole"), weights(part)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    data["data"]["also"][0]["labelled"] = ["L4/L5"]
    (part / "config.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UsageError, match=r"can only go on as it was trained: data\.also\.0\.labelled is null there"):
        resume(part, ["train.epochs=3"], echo=quiet)


def test_a_loss_that_cannot_leave_classes_open_is_refused(tiny_dataset: Path, discs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="loss 'hausdorff_dt' cannot be used with partial labels"):
        train(config(tiny_dataset, discs, "loss.name=hausdorff_dt"), tmp_path / "run", echo=quiet)
