from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spine_ignite.batches import slice_dataset as batches
from spine_ignite.batches.cropping import lost_by_cropping
from spine_ignite.batches.loaders import (
    TrainingLoader,
    create_training_loader,
    create_validation_loader,
    training_size,
)
from spine_ignite.batches.sampling import Request
from spine_ignite.batches.slice_dataset import SliceDataset, place_centred
from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import DataError, UsageError
from spine_ignite.machine.share import Share
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import SliceStore

NAMES = ["Case1", "Case2", "Case3"]


@pytest.fixture
def store(tiny_dataset: Path) -> SliceStore:
    return build_store(config(tiny_dataset).data).store


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(None, [f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=4", *overrides])


def training_loader(store: SliceStore, names: list[str], settings: RunConfig) -> TrainingLoader:
    seed, steps = settings.seed, settings.train.steps_per_epoch
    return create_training_loader(store, names, settings.data, settings.augment, seed=seed, steps_per_epoch=steps)


def epoch(loader: Any) -> list[dict[str, torch.Tensor]]:
    return [{key: value.clone() for key, value in batch.items()} for batch in getattr(loader, "loader", loader)]


def same(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a
    )


def test_a_batch_is_what_the_store_holds(store: SliceStore, tiny_dataset: Path) -> None:
    dataset = SliceDataset(store, store.split("train")[:2], 0, (64, 48))
    batch = dataset[Request(0, [7, 0])]
    assert batch["image"].shape == (2, 1, 64, 48)
    assert (batch["image"].dtype, batch["label"].dtype) == (torch.float32, torch.uint8)
    second = store.split("train")[1]
    np.testing.assert_array_equal(batch["image"][0, 0], store.image(second)[2].astype(np.float32))
    np.testing.assert_array_equal(batch["label"][0], store.label(second)[2])
    assert dataset.foreground == [1, 2, 3, 6, 7, 8]


def test_neighbours_are_channels_and_the_ends_repeat(store: SliceStore) -> None:
    case = store.split("train")[0]
    dataset = SliceDataset(store, [case], 1, (64, 48))
    first, last = dataset[Request(0, [0])]["image"][0], dataset[Request(0, [4])]["image"][0]
    slices = store.image(case).astype(np.float32)
    for channel, index in enumerate((0, 0, 1)):
        np.testing.assert_array_equal(first[channel], slices[index])
    for channel, index in enumerate((3, 4, 4)):
        np.testing.assert_array_equal(last[channel], slices[index])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is resident of a mapping")
def test_what_has_been_read_does_not_stay_resident(store: SliceStore) -> None:
    """Memory does not grow with the cases seen, though their arrays stay mapped; and what is read again is the same."""
    dataset = SliceDataset(store, store.split("train"), 1, (64, 48))
    everything = Request(0, list(range(len(dataset))))
    first, second = dataset[everything], dataset[everything]
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["label"], second["label"])
    resident, file = {}, ""
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        file = line.split()[-1] if line.endswith(".npy") else "" if "-" in line.split()[0] else file
        if line.startswith("Rss:") and str(store.root) in file:
            resident[file] = int(line.split()[1])
    assert len(resident) == 2 * len(store.split("train"))
    assert set(resident.values()) == {0}


def test_crop_and_pad_are_centred() -> None:
    source = np.arange(30, dtype=np.float32).reshape(5, 6) + 1
    small, large = np.zeros((3, 4)), np.zeros((7, 10))
    place_centred(source, small, fill=0)
    np.testing.assert_array_equal(small, source[1:4, 1:5])
    place_centred(source, large, fill=None)
    np.testing.assert_array_equal(large[1:6, 2:8], source)
    assert large[0, 0] == 1.0, "the margin is the source's minimum"


def test_workers_change_nothing(store: SliceStore, tiny_dataset: Path) -> None:
    alone = training_loader(store, NAMES, config(tiny_dataset))
    helped = training_loader(store, NAMES, config(tiny_dataset, "data.workers=2"))
    assert alone.steps_per_epoch == 15 // 4
    first, second = epoch(alone), epoch(alone)
    assert same(epoch(helped), first)
    assert same(epoch(helped), second)
    assert not same(first, second)


@pytest.mark.parametrize(
    "overrides", [[], ["data.sampling=patches", "data.patch.size=[32, 24]", "data.context_slices=1"]]
)
def test_an_epoch_can_be_entered_anywhere(store: SliceStore, tiny_dataset: Path, overrides: list[str]) -> None:
    settings = config(tiny_dataset, *overrides)
    whole = training_loader(store, NAMES, settings)
    epochs = [epoch(whole), epoch(whole)]
    late = training_loader(store, NAMES, settings)
    late.start_at(whole.steps_per_epoch + 2)
    assert same(epoch(late), epochs[1][2:])


def test_validation_sees_every_slice_once_as_it_is(store: SliceStore, tiny_dataset: Path) -> None:
    settings = config(tiny_dataset, "augment.torchio=[{RandomNoise: {std: 9}}]")
    image = torch.cat(
        [batch["image"] for batch in create_validation_loader(store, ["Case4"], settings.data, seed=settings.seed)]
    )
    case = store.split("train")[3]
    np.testing.assert_array_equal(image[:, 0], store.image(case).astype(np.float32))


def test_validation_sees_whole_slices_of_any_size(tiny_dataset: Path, write_volume: Any) -> None:
    """Training slices are cropped, those that judge are not; a batch of them has no more pixels than in training."""
    tall = np.zeros((40, 90, 3), np.uint8)
    tall[2:38, 1:89] = 2
    write_volume(
        tiny_dataset / "train/source/Case4.nii.gz", np.random.default_rng(1).integers(0, 9, tall.shape, np.int16)
    )
    write_volume(tiny_dataset / "train/label/mask_case4.nii.gz", tall)
    settings = config(tiny_dataset, "data.size=[32, 48]", "data.context_slices=1")
    store = build_store(settings.data).store
    batches = list(create_validation_loader(store, ["Case3", "Case4"], settings.data, seed=settings.seed))
    whole = {name: sum(case.voxels[1:]) for case in store.split("train") if (name := case.name) in ("Case3", "Case4")}
    assert sum(int((batch["label"] > 0).sum()) for batch in batches) == sum(whole.values())
    assert sum(len(batch["image"]) for batch in batches) == 5 + 3
    assert {tuple(batch["image"].shape[2:]) for batch in batches} == {(64, 48), (90, 48)}
    assert all(
        batch["image"].shape[0] * batch["image"][0, 0].numel() <= 4 * 32 * 48 or len(batch["image"]) == 1
        for batch in batches
    )
    cropped = epoch(training_loader(store, ["Case3", "Case4"], settings))
    assert {tuple(batch["image"].shape[2:]) for batch in cropped} == {(32, 48)}


def test_what_a_crop_loses_is_counted(tiny_dataset: Path) -> None:
    settings = config(tiny_dataset)
    store = build_store(settings.data).store
    cases = store.split("train")
    assert lost_by_cropping(store, cases, (64, 48)) == []
    lost = total = 0
    for case in cases:
        label = store.label(case)
        total += int((label > 0).sum())
        lost += int((label > 0).sum()) - int((label[:, 16:48, 4:44] > 0).sum())
    (sentence,) = lost_by_cropping(store, cases, (32, 40))
    assert sentence.startswith(
        f"data.size=32 x 40 cuts off {100 * lost / total:.3g} % of the structures' voxels, in 4 of 4"
    )


def test_a_crop_that_loses_everything_loses_100_percent(tiny_dataset: Path) -> None:
    store = build_store(config(tiny_dataset, "data.labelled=[L5]").data).store
    (sentence,) = lost_by_cropping(store, store.split("train"), (2, 2))
    assert sentence.startswith("data.size=2 x 2 cuts off 100 % of the structures' voxels, in 4 of 4")


def test_torchio_transforms_are_applied_in_training_and_repeat(store: SliceStore, tiny_dataset: Path) -> None:
    plain = epoch(training_loader(store, NAMES, config(tiny_dataset)))
    settings = config(tiny_dataset, "augment.torchio=[{RandomNoise: {std: 1}}]")
    noisy = epoch(training_loader(store, NAMES, settings))
    workers = config(tiny_dataset, "augment.torchio=[{RandomNoise: {std: 1}}]", "data.workers=2")
    assert same(epoch(training_loader(store, NAMES, workers)), noisy)
    assert not same(noisy, plain)
    for first, second in zip(plain, noisy, strict=True):
        assert torch.equal(first["label"], second["label"])


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ("{RandomSwp: {}}", "TorchIO has no transform 'RandomSwp'. Did you mean 'RandomSwap'?"),
        ("{RandomNoise: {sdt: 1}}", "RandomNoise refuses its arguments"),
    ],
)
def test_a_wrong_torchio_transform_is_refused(
    store: SliceStore, tiny_dataset: Path, transform: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        training_loader(store, NAMES, config(tiny_dataset, f"augment.torchio=[{transform}]"))
    assert message in str(caught.value)


def test_patches_have_their_size_and_balanced_labels(store: SliceStore, tiny_dataset: Path) -> None:
    overrides = ("data.sampling=patches", "data.patch.size=[16, 12]", "data.patch.samples_per_volume=40")
    shares = {}
    for sampler in ("uniform", "label"):
        loader = training_loader(store, NAMES, config(tiny_dataset, *overrides, f"data.patch.sampler={sampler}"))
        assert loader.steps_per_epoch == 3 * 40 // 4
        drawn = epoch(loader)
        assert drawn[0]["image"].shape == (4, 1, 16, 12)
        centres = torch.cat([batch["label"][:, 8, 6] for batch in drawn])
        shares[sampler] = float((centres > 0).float().mean())
    assert shares["uniform"] < 0.5
    assert shares["label"] == pytest.approx(0.75, abs=0.12), "three structures and the background, equally often"


def test_the_default_size_is_the_largest_training_slice(store: SliceStore, tiny_dataset: Path) -> None:
    assert training_size(store, None) == (64, 48)


def test_unknown_cases_are_refused(store: SliceStore, tiny_dataset: Path) -> None:
    with pytest.raises(DataError, match="has no training case"):
        training_loader(store, ["Case99"], config(tiny_dataset))


def test_open_files_do_not_grow_with_the_cases(store: SliceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_OPEN_CASES", 2)
    few = SliceDataset(store, store.split("train"), 0, (64, 48))
    monkeypatch.setattr(batches, "_OPEN_CASES", 99)
    many = SliceDataset(store, store.split("train"), 0, (64, 48))
    order = Request(0, [0, 19, 3, 12, 7, 1, 18])
    assert torch.equal(few[order]["image"], many[order]["image"])


def test_training_goes_on_while_the_store_is_rebuilt(
    store: SliceStore, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, write_volume: Any
) -> None:
    monkeypatch.setattr(batches, "_OPEN_CASES", 1)
    running = training_loader(store, NAMES, config(tiny_dataset))
    expected = epoch(running)
    for name in NAMES:
        write_volume(tiny_dataset / f"train/source/{name}.nii.gz", np.zeros((48, 64, 5), np.int16))
    assert build_store(config(tiny_dataset).data).built == 3
    running.start_at(0)
    assert same(epoch(running), expected)


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.phantoms=3", "data.phantom_options={slices: 2, variety: 0.0}", "data.spacing=[6,6]"],
        ["augment.torchio=[{RandomNoise: {}}]", "data.foreground_share=0.5"],
        ["data.sampling=patches", "data.patch.size=[32,32]", "data.patch.samples_per_volume=3"],
    ],
)
def test_processes_share_the_rows_of_the_batches_that_one_would_have(tiny_dataset: Path, overrides: list[str]) -> None:
    settings = config(tiny_dataset, "data.batch_size=3", *overrides)
    store = build_store(settings.data).store

    def batches_of(share: Share) -> list[dict[str, torch.Tensor]]:
        return epoch(
            create_training_loader(
                store, NAMES, settings.data, settings.augment, seed=1, steps_per_epoch=3, share=share
            )
        )

    whole = batches_of(Share())
    for processes in (2, 4):
        for first in range(processes):
            rows = [*range(first, 3, processes)] or [first % 3]  # one that is left over reads what another has
            expected = [{key: value[rows] for key, value in batch.items()} for batch in whole]
            assert same(batches_of(Share(first, processes)), expected)


def test_processes_share_the_batches_of_validation(store: SliceStore, tiny_dataset: Path) -> None:
    data = config(tiny_dataset).data
    whole = epoch(create_validation_loader(store, NAMES, data, seed=0))

    def shared(processes: int) -> list[list[dict[str, torch.Tensor]]]:
        shares = [Share(first, processes) for first in range(processes)]
        return [epoch(create_validation_loader(store, NAMES, data, seed=0, share=share)) for share in shares]

    assert len(whole) == 4
    for part, expected in zip(shared(3), (whole[::3], whole[1::3], whole[2::3]), strict=True):
        assert same(part, expected)
    slices = [len(batch["image"]) for part in shared(7) for batch in part]  # more processes than batches
    assert slices == [1] * 15
    with pytest.raises(DataError, match="validation has 15 slices, too few to share over 16 processes; raise data.val"):
        shared(16)
