"""What a run is made of is recorded when it begins, and read ever after."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import DataError, RunError
from spine_ignite.training.run import resume, train

SETTINGS = (
    "data.scheme=lumbar-vertebrae",
    "data.batch_size=3",
    "data.folds=2",
    "data.fold=0",
    "model.width=4",
    "model.depth=2",
    "train.epochs=1",
    "precision=fp32",
    "threads=1",
    "log.tensorboard=false",
    "log.doctor=false",
)


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(None, [f"data.root={root}", *SETTINGS, *overrides])


def quiet(_line: str) -> None:
    pass


def add_case(root: Path, name: str, like: str) -> None:
    image = nib.load(root / f"train/source/{like}.nii.gz")
    values = np.asarray(image.dataobj)[:, ::-1].astype(np.int16)
    nib.save(nib.Nifti1Image(values, image.affine), root / f"train/source/{name}.nii.gz")
    shutil.copy(root / f"train/label/mask_{like.lower()}.nii.gz", root / f"train/label/mask_{name.lower()}.nii.gz")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"])


def equal(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return all(torch.equal(one[key], two[key]) for key in one)


def test_cases_that_come_change_neither_a_resumed_nor_a_repeated_run(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(tiny_dataset), run, echo=quiet)
    shutil.copytree(run, tmp_path / "untouched")
    resume(tmp_path / "untouched", ["train.epochs=2"], echo=quiet)
    recorded = (run / "split.json").read_bytes()
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["split"] == "split.json"
    add_case(tiny_dataset, "Case7", "Case1")
    lines: list[str] = []
    resume(run, ["train.epochs=2"], echo=lines.append)
    assert "Unused:    1 case is in the dataset but in no part of the split: Case7" in lines
    assert equal(run, tmp_path / "untouched")
    shutil.move(run, tmp_path / "moved")
    assert yaml.safe_load((tmp_path / "moved" / "config.yaml").read_text())["data"]["split"] == "split.json"
    again = load_config(tmp_path / "moved" / "config.yaml", ["train.epochs=2"])
    train(again, tmp_path / "again", echo=quiet)
    for name in ("moved", "again"):
        assert (tmp_path / name / "split.json").read_bytes() == recorded
    fresh = train(config(tiny_dataset), tmp_path / "fresh", echo=quiet).directory
    assert "Case7" in {case.name for case in read_split(fresh / "split.json").cases}


def test_a_run_is_not_resumed_on_other_data(tiny_dataset: Path, tmp_path: Path) -> None:
    run, source, label = tmp_path / "run", tiny_dataset / "train" / "source", tiny_dataset / "train" / "label"
    train(config(tiny_dataset), run, echo=quiet)
    split = read_split(run / "split.json")
    one, two = split.training[0].name, split.validation[0].name
    shutil.copytree(tiny_dataset, tmp_path / "original", ignore=shutil.ignore_patterns(".spine*"))

    def changed(*changes: tuple[Path, str]) -> str:
        """What the refusal says, with these files replaced by the content of others (or removed)."""
        for path, content in changes:
            path.unlink()
            if content:
                shutil.copy(tmp_path / "original" / content, path)
        with pytest.raises(DataError) as caught:
            resume(run, ["train.epochs=2"], echo=quiet)
        shutil.copytree(tmp_path / "original", tiny_dataset, dirs_exist_ok=True)
        return str(caught.value)

    images = [source / f"{name}.nii.gz" for name in (one, two)]
    masks = [label / f"mask_{name.lower()}.nii.gz" for name in (one, two)]
    swapped = changed((images[0], f"train/source/{two}.nii.gz"), (images[1], f"train/source/{one}.nii.gz"))
    assert swapped == (
        f"dataset {tiny_dataset} is not what {run / 'split.json'} records: another image has {one}, {two}; restore "
        "these files or begin a new run"
    )
    assert f"another mask has {two}; " in changed((masks[1], f"train/label/mask_{one.lower()}.nii.gz"))
    assert f"it has no case {one}; " in changed((images[0], ""), (masks[0], ""))
    assert f"{images[1]} has no mask" in changed((masks[1], ""))
    assert resume(run, ["train.epochs=2"], echo=quiet).epochs == 2, "with the files as they were it goes on"
    for path in (tiny_dataset / "test").rglob("*.nii.gz"):
        path.unlink()
    assert resume(run, ["train.epochs=3"], echo=quiet).epochs == 3, "test cases are nothing to training"


def test_a_run_without_a_record_is_not_resumed(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    (tmp_path / "run" / "split.json").unlink()
    with pytest.raises(
        RunError, match=r"run has no split\.json, so that its training, validation and test cases are not"
    ):
        resume(tmp_path / "run", ["train.epochs=2"], echo=quiet)


def test_a_dataset_that_has_moved_is_the_same(tiny_dataset: Path, tmp_path: Path) -> None:
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    moved = tiny_dataset.rename(tmp_path / "elsewhere")
    again = load_config(tmp_path / "run" / "config.yaml", [f"data.root={moved}", "data.cache=null"])
    train(again, tmp_path / "again", echo=quiet)
    assert equal(tmp_path / "run", tmp_path / "again")


def test_structures_that_are_cropped_away_are_told_and_still_judged(tiny_dataset: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    settings = config(tiny_dataset, "data.size=[24,48]", "model.depth=3", "log.tensorboard=true")
    train(settings, tmp_path / "run", echo=lines.append)
    (warning,) = (line for line in lines if line.startswith("Warning"))
    assert "data.size=24 x 48 cuts off " in warning
    assert "in 2 of 2 training cases" in warning
    assert "the largest slice has 64 x 48 pixels" in warning
