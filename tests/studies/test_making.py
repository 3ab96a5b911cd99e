"""What a study is declared to be, and what is made of it before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spine_ignite.config import load_config
from spine_ignite.crossval.folds_plan import make_plan
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.studies.declaration import read_declaration
from spine_ignite.studies.making import Study, load_study

Make = Callable[..., Study]
WIDE = {"name": "wide", "model": "unet", "set": {"model.width": 8, "model.depth": 2}}


def test_cells_are_models_x_settings_x_folds_x_seeds(make: Make, declare: Callable[..., Path]) -> None:
    settings = {"plain": {}, "slow": {"optimizer.lr": 1e-4}}
    study = make(models=["enet", WIDE], settings=settings, seeds=[3, 5])
    assert len({cell.name for cell in study.cells}) == len(study.cells) == 2 * 2 * 2 * 2
    assert study.methods == ("enet-plain", "enet-slow", "wide-plain", "wide-slow")
    cell = next(cell for cell in study.cells if cell.name == "wide-slow-fold1-seed5")
    config = study.config(cell)
    assert (config.model.name, config.model.options["width"]) == ("unet", 8)
    assert (config.seed, config.data.fold, config.optimizer.lr) == (5, 1, 1e-4)
    assert load_study(study.directory.root) == study
    with pytest.raises(UsageError, match="unknown key 'modles'. Did you mean 'models'"):
        read_declaration(declare(modles=["unet"]))


def test_the_folds_are_those_of_a_cross_validation(make: Make, tiny_dataset: Path, tmp_path: Path) -> None:
    study = make()
    config = load_config(study.directory.config("unet-base"))
    plan = make_plan(FoldsDirectory(tmp_path / "folds"), config, None, lambda _line: None)
    assert plan.folds == read_folds(study.directory.splits)


def test_the_seal_is_the_sha256_of_each_file_and_one_over_all(make: Make, tiny_dataset: Path) -> None:
    seal = json.loads(make().directory.seal.read_text())
    lines = []
    for case in seal["cases"]:
        number = case["name"][4:]
        files = (f"source/{case['name']}.nii.gz", f"label/mask_case{number}.nii.gz")
        image, mask = (hashlib.sha256((tiny_dataset / "test" / name).read_bytes()).hexdigest() for name in files)
        assert (case["image"], case["mask"]) == (image, mask)
        lines.append(f'"{case["name"]}" {image} {mask}\n')
    assert len(lines) == 2
    assert seal["sha256"] == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_it_is_made_once_and_can_only_grow(make: Make, tiny_dataset: Path) -> None:
    study = make()
    before = {path: path.stat().st_mtime_ns for path in study.directory.root.rglob("*") if path.is_file()}
    assert make() == study
    assert {path: path.stat().st_mtime_ns for path in before} == before
    grown = make(seeds=[0, 1], settings={"base": {}, "slow": {"optimizer.lr": 1e-4}})
    assert len(grown.cells) == 8
    assert {cell.name for cell in study.cells} < {cell.name for cell in grown.cells}
    grow: dict[str, Any] = {"seeds": [0, 1], "settings": {"base": {}, "slow": {"optimizer.lr": 1e-4}}}
    with pytest.raises(UsageError, match="of unet-base train.epochs was 2 and is 3.*can be added"):
        make(**grow, set={"train.epochs": 3})
    with pytest.raises(UsageError, match="6 of its cells are declared no more"):
        make()
    (tiny_dataset / "train" / "label" / "mask_case1.nii.gz").write_bytes(
        (tiny_dataset / "train" / "label" / "mask_case2.nii.gz").read_bytes()
    )
    with pytest.raises(DataError, match="another mask has Case1"):
        make(**grow)


def test_other_folds_and_another_search_are_refused(make: Make) -> None:
    search: dict[str, Any] = {"space": {"optimizer.lr": {"low": 1e-4, "high": 1e-2}}, "trials": 1}
    study = make(search=search)
    with pytest.raises(UsageError, match="folds was 2 and is 3; models, settings and seeds can be added"):
        make(search=search, folds=3)
    assert load_study(study.directory.root) == study
    make(search={**search, "seed": 1})  # nothing was tried yet
    (study.directory.search / "trials" / "0000").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"search\.seed is another than when the search .* began"):
        make(search=search)
    with pytest.raises(UsageError, match="its search has begun, and is declared no more"):
        make()
    assert make(search={**search, "seed": 1, "trials": 5}).declaration.search.trials == 5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"settings": {"a": {"seed": 1}}}, "seed is the same for all cells"),
        ({"settings": {"a": {"data.root": "x"}}}, "data.root is the same for all cells"),
        ({"models": [{"name": "a/b"}]}, "should match pattern"),
        ({"models": ["unet", "unet"]}, "two models are called unet"),
        ({"models": ["unett"]}, "there is no model 'unett'"),
        ({"seeds": [1, 1]}, "one is given twice"),
        ({"set": {"data.batch_size": "auto"}}, "data.batch_size of unet of the study is auto"),
        ({"set": {"data.fold": 1}}, "chooses one fold, and a study trains all"),
        ({"search": {"space": {"optimizer.lr": {"low": 1}}}}, "give low and high, or choices"),
    ],
)
def test_what_cannot_be_studied_is_refused_and_leaves_nothing(
    make: Make, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        make(**changes)
    assert not (tmp_path / "tiny").exists()


def test_files_of_others_are_left(make: Make, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="did not make as a study, thesis.txt for one"):
        make()
    with pytest.raises(RunError, match="is no study: it has no study.yaml"):
        load_study(tmp_path / "tiny")
