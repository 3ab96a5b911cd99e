from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import DataError
from spine_ignite.training.overfit import FixedBatches, without_variety
from spine_ignite.training.prepare import prepare
from spine_ignite.training.run import resume, train


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}",
            "data.scheme=lumbar-vertebrae",
            "data.spacing=[2, 2]",
            "data.batch_size=2",
            "model.width=8",
            "model.depth=3",
            "optimizer.lr=1e-2",
            "train.overfit_batches=2",
            "train.epochs=6",
            "train.patience=1",
            "precision=fp32",
            "threads=1",
            "log.tensorboard=false",
            *overrides,
        ],
    )


def test_a_sound_network_learns_its_batches_by_heart(tiny_dataset: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    result = train(config(tiny_dataset), tmp_path / "run", echo=lines.append)
    assert result.overfit_passed
    assert result.epochs == 6, "no early stopping"
    assert result.best_dice is not None
    assert f"Overfit check passed: the network can learn 2 batches: Dice {result.best_dice:.2f}" in lines
    assert not [line for line in lines if line.startswith("Doctor")]


def test_a_run_that_learns_nothing_fails_the_check(tiny_dataset: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    result = train(config(tiny_dataset, "optimizer.lr=1e-9", "train.epochs=1"), tmp_path / "run", echo=lines.append)
    assert result.overfit_passed is False
    assert [line for line in lines if line.startswith("Overfit check failed: Dice 0.")]
    assert result.exit_code == 0


def test_the_same_batches_as_they_are_train_and_validate(tiny_dataset: Path) -> None:
    settings = without_variety(config(tiny_dataset))
    assert not settings.augment.enabled
    assert settings.train.patience is None
    data = prepare(settings).data
    first = list(itertools.islice(prepare(config(tiny_dataset, "train.overfit_batches=0")).data.training.loader, 2))
    seen = list(data.training.loader)
    assert len(seen) == data.training.steps_per_epoch == 20
    assert data.validation is not None
    validated = list(data.validation)
    assert len(validated) == 2
    for step, batch in enumerate(seen):
        for key in ("image", "label"):
            assert torch.equal(batch[key], first[step % 2][key])
            assert torch.equal(batch[key], validated[step % 2][key])


def test_batches_of_an_epoch_go_on_where_a_resumed_run_starts(tiny_dataset: Path) -> None:
    source = prepare(config(tiny_dataset, "train.overfit_batches=0")).data.training
    loader = FixedBatches(source, 3)
    assert loader.steps_per_epoch == 21, "whole passes"
    whole = list(loader) + list(loader)
    loader.start_at(25)
    assert len(loader) == 17
    assert all(a is b for a, b in zip(loader, whole[25:], strict=True))
    assert loader.origins(25) == source.origins(1) != []


def test_an_interrupted_check_can_be_resumed(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset, "train.epochs=1"), tmp_path / "run", echo=lambda line: None)
    result = resume(tmp_path / "run", ["train.epochs=2"], echo=lambda line: None)
    assert result.overfit_passed is not None
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [20, 40]


def test_batches_without_a_structure_are_refused(tiny_dataset: Path) -> None:
    source = prepare(config(tiny_dataset, "train.overfit_batches=0")).data
    seen = {*source.training.origins(0), *source.training.origins(1)}
    for case in source.store.split("train"):
        mask = nib.load(case.label.path)
        values = np.asarray(mask.dataobj).astype(np.uint8)
        for index in range(case.num_slices):
            if f"{case.name} slice {index}" in seen:
                values[:, :, case.num_slices - 1 - index] = 0  # slices run from the right, this axis to the right
        nib.save(nib.Nifti1Image(values, mask.affine), case.label.path)
    with pytest.raises(DataError, match="the first 2 training batches are background only"):
        prepare(config(tiny_dataset))
