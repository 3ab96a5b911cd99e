from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from spine_ignite.batches.loaders import create_training_loader, create_validation_loader
from spine_ignite.batches.open_dataset import open_dataset
from spine_ignite.config import DataConfig, RunConfig, load_config
from spine_ignite.datasets.checks import check_datasets
from spine_ignite.datasets.sources import elsewhere, sources_of
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import IGNORE, load_scheme
from spine_ignite.runs.choose_split import choose_split
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import open_store
from spine_ignite.volumes.volume import read_label

Writer = Callable[..., Path]
SPINE = load_scheme("spine")
SPIDER = (0, 1, 101, 3, 18, 100, 201)
IN_SPINE = ("background", "L5", "L5", "L3", "background", "canal", "L5/S")


@pytest.fixture
def other(tmp_path: Path, write_volume: Writer) -> Path:
    """Four training cases and a test case whose masks are numbered as SPIDER's, in stripes."""
    root = tmp_path / "others"
    rng = np.random.default_rng(1)
    for number in range(1, 6):
        split = "train" if number < 5 else "test"
        label = np.repeat(np.array(SPIDER, np.uint8), 6)[None, :, None] * np.ones((30, 1, 3), np.uint8)
        image = rng.integers(1, 900, label.shape).astype(np.int16)
        write_volume(root / split / "source" / f"Case{number}.nii.gz", image)
        write_volume(root / split / "label" / f"mask_case{number}.nii.gz", label)
    return root


def config(root: Path, other: Path, *overrides: str, **also: Any) -> RunConfig:
    data = {"root": root, "scheme": "spine", "masks": "lumbar-vertebrae", "spacing": (1.0, 1.0), "batch_size": 4}
    return load_config({"data": {**data, "also": [{"root": other, "masks": "spider", **also}]}}, overrides)


def both(root: Path, other: Path, **also: Any) -> DataConfig:
    return config(root, other, **also).data


def names(indices: NDArray[Any]) -> list[str]:
    return [SPINE.names[index] for index in np.unique(indices)]


def test_masks_of_several_schemes_are_stored_in_the_classes_of_the_run(tiny_dataset: Path, other: Path) -> None:
    built = build_store(both(tiny_dataset, other))
    cases = {case.name: case for case in built.store.cases}
    assert [case.name for case in built.store.split("train")] == [
        *(f"Case{n}" for n in range(1, 5)),
        *(f"others_Case{n}" for n in range(1, 5)),
    ]
    assert [case.dataset for case in built.store.split("test")] == ["", "", "others"]
    assert names(built.store.label(cases["Case1"])) == ["background", "L5", "L4", "L3"]
    stripes = built.store.label(cases["others_Case1"])[0, :, 0]
    assert [SPINE.names[index] for index in stripes[3::6]] == list(reversed(IN_SPINE)), "rows go downwards"
    known = {SPINE.names[index] for index in cases["others_Case1"].labelled or ()}
    assert {"background", "L5", "canal", "T1/T2"} <= known
    assert not known & {"S", "cord", "L6", "T13"}
    assert {SPINE.names[i] for i in cases["Case1"].labelled or ()} == set(load_scheme("lumbar-vertebrae").names)
    assert open_store(built.store.root) == built.store
    assert any("others labels L5, L4" in note and "but not S, L6" in note for note in built.notes)
    assert any("whole, with arch" in note for note in built.notes)
    assert build_store(both(tiny_dataset, other)).built == 0


def test_what_is_declared_not_to_be_labelled_is_background_and_open(tiny_dataset: Path, other: Path) -> None:
    full = build_store(both(tiny_dataset, other)).store
    built = build_store(both(tiny_dataset, other, labelled=["L5", "canal"]))
    assert any("the canal of spider may hold the cord" in note for note in built.notes)
    without = build_store(both(tiny_dataset, other, labelled=["L5"]))
    assert not any("may hold the cord" in note for note in without.notes)
    store = built.store
    case = next(case for case in store.cases if case.dataset)
    assert [SPINE.names[i] for i in case.labelled or ()] == ["background", "L5", "canal"]
    assert names(store.label(case)) == ["background", "L5", "canal"]
    assert case.is_partial
    assert store.root != full.root, "another declaration has slices of its own"
    assert store.fingerprint != full.fingerprint


@pytest.mark.parametrize("sampling", ["slices", "patches"])
def test_a_batch_says_what_each_row_labels(tiny_dataset: Path, other: Path, sampling: str) -> None:
    settings = config(
        tiny_dataset, other, f"data.sampling={sampling}", "data.patch.size=[32,32]", "data.patch.queue_length=8"
    )
    store = build_store(settings.data).store
    loader = create_training_loader(store, [c.name for c in store.cases], settings.data, settings.augment, seed=0)
    at = SPINE.names.index
    seen = set()
    for batch in loader.loader:
        assert batch["labelled"].shape == (4, len(SPINE.classes))
        assert batch["labelled"].dtype == torch.bool
        assert batch["labelled"][:, 0].all()
        for row, label in zip(batch["labelled"], batch["label"], strict=True):
            assert bool(row[at("canal")]) != bool(row[at("T11")] and not row[at("T10")]), "of one dataset or the other"
            assert row[label.long().unique()].all(), "no row holds what it does not label"
            seen.add(bool(row[at("canal")]))
    assert seen == {True, False}


def test_a_dataset_that_labels_all_says_so_in_each_batch(tiny_dataset: Path) -> None:
    settings = load_config(None, [f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae"])
    store = build_store(settings.data).store
    assert all(case.labelled is None and not case.is_partial for case in store.cases)
    for batch in create_validation_loader(store, ["Case1"], settings.data, seed=0):
        assert batch["labelled"].all()


@pytest.mark.parametrize("sampling", ["slices", "patches"])
def test_voxels_to_be_ignored_are_no_class_and_no_foreground(
    tiny_dataset: Path, sampling: str, write_volume: Writer
) -> None:
    """nnU-Net's ignore label, in a case that has nothing else."""
    path = tiny_dataset / "train/label/mask_case1.nii.gz"
    write_volume(path, np.full(read_label(path).array.shape, 9, np.uint8))
    described = {"background": 0, "L5": 2, "L4": 3, "L3": 4, "ignore": 9}
    scheme = tiny_dataset / "dataset.json"
    scheme.write_text(json.dumps({"labels": described, "channel_names": {"0": "T1"}}))
    settings = load_config(
        None,
        [
            f"data.root={tiny_dataset}",
            f"data.scheme={scheme}",
            f"data.sampling={sampling}",
            "data.patch.size=[32,32]",
            "data.patch.queue_length=8",
            "data.size=[70,40]",
        ],
    )
    store = build_store(settings.data).store
    first, second = store.cases[:2]
    assert np.unique(store.label(first)).tolist() == [IGNORE]
    assert (first.foreground, first.voxels, first.ignored) == ((), (0, 0, 0, 0), 5 * 64 * 48)
    assert first.is_partial
    assert not second.is_partial
    if sampling == "patches":
        loader = create_training_loader(store, ["Case2"], settings.data, settings.augment, seed=0)
        assert all(set(batch["label"].unique().tolist()) <= {0, 1, 2, 3} for batch in loader.loader)
    loader = create_training_loader(store, ["Case1"], settings.data, settings.augment, seed=0)
    if sampling == "slices":
        (batch,) = loader.loader
        assert batch["label"].unique().tolist() == [0, IGNORE], "the margin is background"


def test_masks_are_read_again_when_other_values_are_ignored(tiny_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    known = load_scheme("lumbar-vertebrae").to_dict()
    data = load_config({"data.root": tiny_dataset, "data.scheme": "lumbar-vertebrae", "data.masks": str(path)}).data
    found = []
    for ignore in (99, 98):
        path.write_text(yaml.safe_dump({**known, "ignore": ignore}))
        found.append(build_store(data))
    assert [result.built for result in found] == [6, 6]


def test_patients_are_split_over_all_datasets_together(tiny_dataset: Path, other: Path) -> None:
    shutil.copy(tiny_dataset / "train/source/Case2.nii.gz", other / "train/source/Case3.nii.gz")
    shutil.copy(tiny_dataset / "train/label/mask_case2.nii.gz", other / "train/label/mask_case3.nii.gz")
    data = both(tiny_dataset, other)
    split = choose_split(data.model_copy(update={"validation": 0.4}), 3, build_store(data).store)
    found = {case.name: case for case in split.cases}
    assert len(split.training) + len(split.validation) == 8
    assert len(split.test) == 3
    assert {case.dataset for case in split.cases} == {"dataset", "others"}
    assert found["others_Case1"].patient == "others_Case1"
    assert found["others_Case3"].patient == found["Case2"].patient == "Case2", "one image is one patient"


def test_a_rule_names_patients_for_all_datasets(tiny_dataset: Path, other: Path, tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\n" + "\n".join(f"Case{n},{n}" for n in range(1, 6)))
    data = both(tiny_dataset, other, patients=str(table)).model_copy(update={"patients": r"Case(\d)"})
    split = choose_split(data, 0, build_store(data).store)
    patients = {case.name: case.patient for case in split.cases}
    assert patients["Case4"] == patients["others_Case4"] == "4"


def test_volumes_are_read_in_the_classes_of_the_run(tiny_dataset: Path, other: Path) -> None:
    volumes = open_dataset(other, "volumes", scheme="spine", masks="spider")
    assert volumes.classes == SPINE.names
    assert names(volumes[0].label.numpy()) == ["background", "L5", "L3", "L5/S", "canal"]


def test_masks_are_checked_against_the_scheme_that_they_are_in(
    tiny_dataset: Path, other: Path, write_volume: Writer
) -> None:
    path = other / "train/label/mask_case2.nii.gz"
    write_volume(path, np.full((30, 42, 3), 77, np.uint8))
    data = both(tiny_dataset, other)
    report = check_datasets(sources_of(data))
    (problem,) = report.problems
    assert (problem.case, problem.file) == ("others_2", path)
    assert "label values 77 (3780 voxels) are not in the scheme 'spider'" in problem.message
    with pytest.raises(DataError, match="not in the scheme 'spider'"):
        build_store(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.labelled": ["L5", "L 4"]},
            r"data.labelled names L 4, which is no class of the scheme 'spine' \(S, L6,",
        ),
        ({"data.labelled": ["S"]}, "data.labelled names S, which masks in the scheme 'lumbar-vertebrae' cannot hold"),
        ({"data.labelled": []}, "data.labelled names no structure"),
        ({"data.masks": "missing"}, "missing"),
    ],
)
def test_what_cannot_be_declared_is_refused(tiny_dataset: Path, changes: dict[str, Any], message: str) -> None:
    base = {"data.root": tiny_dataset, "data.scheme": "spine", "data.masks": "lumbar-vertebrae"}
    with pytest.raises(UsageError, match=message):
        sources_of(load_config({**base, **changes}).data)


def test_a_scheme_without_a_common_structure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": {"background": 0, "liver": 1}, "channel_names": {"0": "CT"}}))
    with pytest.raises(UsageError, match=r"data.masks=.*has no structure of 'spine'"):
        sources_of(load_config({"data.scheme": "spine", "data.masks": str(path)}).data)


def test_datasets_of_one_name_are_told_apart(tiny_dataset: Path, other: Path) -> None:
    twice = [{"root": other}, {"root": other.parent / "elsewhere" / other.name}]
    with pytest.raises(UsageError, match="two datasets of also are called others; give one another name"):
        load_config({"data": {"root": tiny_dataset, "also": twice}})
    named = load_config({"data": {"root": tiny_dataset, "also": [twice[0], {**twice[1], "name": "more"}]}})
    assert [dataset.name for dataset in named.data.also] == ["others", "more"]
    with pytest.raises(UsageError, match=r"unknown key 'data.also.0.scheme'.*Known here: root, name, masks"):
        load_config({"data": {"also": [{"root": other, "scheme": "spider"}]}})


@pytest.mark.parametrize("way", ["as it is", "by a link", "among others"])
def test_a_folder_that_is_named_twice_is_refused(tiny_dataset: Path, other: Path, tmp_path: Path, way: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(other if way == "among others" else tiny_dataset, target_is_directory=True)
    again = {"root": tiny_dataset if way == "as it is" else link, "name": "again"}
    also = [{"root": other, "masks": "spider"}, again]
    first = "data.also.0.root" if way == "among others" else "data.root"
    settings = load_config({"data": {"root": tiny_dataset, "scheme": "lumbar-vertebrae", "also": also}})
    with pytest.raises(UsageError, match=rf"data\.also\.1\.root is the folder of {first}, .*; name each dataset once"):
        sources_of(settings.data)


def test_what_is_declared_of_a_folder_holds_where_it_is_judged_alone(
    tiny_dataset: Path, other: Path, tmp_path: Path
) -> None:
    """Read as those of ``data.root``, its masks would have wrong levels without a word where the values are known."""
    data = both(tiny_dataset, other)
    assert elsewhere(data, other).mapping.source.name == "spider"
    assert elsewhere(data, other).name == ""
    assert elsewhere(data, tmp_path).mapping == elsewhere(data, tiny_dataset).mapping == sources_of(data)[0].mapping
