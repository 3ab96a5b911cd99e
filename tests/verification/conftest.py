"""A small network that was really trained and judged, with its manifest, to be tampered with in copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_ignite.config import RunConfig, load_config
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.training.run import train


def write_cases(root: Path, count: int = 6) -> None:
    """Blocks in the values of three vertebrae on a noisy ramp; the last two cases are for testing."""
    rng = np.random.default_rng(0)
    affine = np.diag([1.0, 1.0, 4.0, 1.0])[[2, 0, 1, 3]]  # axes P, S and R, up to their signs
    for number in range(1, count + 1):
        label = np.zeros((48, 64, 5), np.uint8)
        shift = int(rng.integers(-3, 4))
        for k, value in enumerate((2, 3, 4)):
            label[14:34, 8 + 17 * k + shift : 21 + 17 * k + shift, 1:4] = value
        image = 100 * (label > 0) + 20 * label + rng.normal(0, 5, label.shape) + np.linspace(0, 40, 64)[None, :, None]
        split = "train" if number <= count - 2 else "test"
        for folder, name, array in (
            ("source", f"Case{number}", image.astype(np.int16)),
            ("label", f"mask_case{number}", label),
        ):
            path = root / split / folder / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, affine), path)


def tiny_config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=4", "data.validation=0.25",
            "model.width=4", "model.depth=2", "optimizer.lr=0.02", "train.epochs=2", "train.steps_per_epoch=6",
            "precision=fp32", "threads=1", "log.tensorboard=false", *overrides,
        ],
    )  # fmt: skip


def silent(_line: str) -> None:
    pass


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a run that was trained and judged on it; to be read only."""
    root = tmp_path_factory.mktemp("trained")
    write_cases(root / "dataset")
    train(tiny_config(root / "dataset"), root / "run", echo=silent)
    evaluate(root / "run")
    return root


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it; the run's configuration still names the dataset that it was trained on."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunConfig]:
    """``tiny(dataset, "train.epochs=3", …)`` is the configuration of such a run."""
    return tiny_config
