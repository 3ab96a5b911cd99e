from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spine_ignite.batches.loaders import TrainingLoader, create_training_loader, select
from spine_ignite.batches.patches import CaseSubjects, PatchLoader, Visit, VisitOrder
from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import SliceStore

NAMES = ["Case1", "Case2", "Case3"]


@pytest.fixture
def store(tiny_dataset: Path) -> SliceStore:
    return build_store(config(tiny_dataset).data).store


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.batch_size=4", "data.sampling=patches", "data.patch.size=[16,12]"]
    return load_config(None, [f"data.root={root}", *base, *overrides])


def training_loader(store: SliceStore, names: list[str], settings: RunConfig) -> TrainingLoader:
    seed, steps = settings.seed, settings.train.steps_per_epoch
    return create_training_loader(store, names, settings.data, settings.augment, seed=seed, steps_per_epoch=steps)


def draw(store: SliceStore, settings: RunConfig, epochs: int = 1) -> list[torch.Tensor]:
    loader = training_loader(store, NAMES, settings)
    assert isinstance(loader, PatchLoader)
    return [batch[key] for _ in range(epochs) for batch in loader.loader for key in ("image", "label")]


def test_each_pass_visits_every_case_once_in_another_order() -> None:
    order = VisitOrder(30, seed=1, epoch=2)
    first, second = list(order), list(order)
    assert sorted(visit.case for visit in first) == sorted(visit.case for visit in second) == list(range(30))
    assert [visit.case for visit in first] != [visit.case for visit in second]
    assert [visit.number for visit in first + second] == list(range(60))
    assert list(VisitOrder(30, seed=1, epoch=2)) == first
    assert list(VisitOrder(30, seed=1, epoch=3)) != first


@pytest.mark.parametrize("transform", ["[]", "[{RandomNoise: {std: 1}}]"])
def test_workers_change_nothing(store: SliceStore, tiny_dataset: Path, transform: str) -> None:
    overrides = (f"augment.torchio={transform}", "train.steps_per_epoch=9")  # more than one pass over the cases
    alone = draw(store, config(tiny_dataset, *overrides), epochs=2)
    helped = draw(store, config(tiny_dataset, *overrides, "data.workers=2"), epochs=2)
    assert len(alone) == len(helped) == 2 * 2 * 9
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_patches_are_independent_of_the_global_generator_and_leave_it_alone(
    store: SliceStore, tiny_dataset: Path
) -> None:
    torch.manual_seed(1)
    first = draw(store, config(tiny_dataset))
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(1)))
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, draw(store, config(tiny_dataset)), strict=True))


def test_a_patch_is_a_piece_of_the_volume_with_its_neighbours(store: SliceStore, tiny_dataset: Path) -> None:
    settings = config(tiny_dataset, "data.context_slices=1", "data.patch.samples_per_volume=2")
    images, labels = (draw(store, settings)[part::2] for part in (0, 1))
    planes = np.concatenate([store.image(c).astype(np.float32)[[0, *range(5), 4]] for c in select(store, NAMES)])
    masks = np.concatenate([store.label(c)[[0, *range(5), 4]] for c in select(store, NAMES)])
    for image, label in zip(torch.cat(images).numpy(), torch.cat(labels).numpy(), strict=True):
        assert (image.shape, label.shape) == ((3, 16, 12), (16, 12))
        # The place is found by the first pixel of the middle channel: noise makes pixels all but unique.
        hits = [
            (s, i, j)
            for s, i, j in np.argwhere(planes[:, :49, :37] == image[1, 0, 0])
            if np.array_equal(planes[s, i : i + 16, j : j + 12], image[1])
        ]
        assert any(
            all(np.array_equal(planes[s + c - 1, i : i + 16, j : j + 12], image[c]) for c in range(3))
            and np.array_equal(masks[s, i : i + 16, j : j + 12], label)
            for s, i, j in hits
            if 0 < s < len(planes) - 1
        )


def test_cases_smaller_than_a_patch_are_padded(store: SliceStore) -> None:
    cases = select(store, NAMES)
    subject = CaseSubjects(store, cases, 2, (80, 60))[Visit(0, 0, 1)]
    image, label = subject["image"].data[0], subject["label"].data[0]
    assert image.shape == label.shape == (80, 60, 5 + 4)
    slices = torch.from_numpy(store.image(cases[1]).astype(np.float32))
    torch.testing.assert_close(image[8:72, 6:54, 2:7], slices.permute(1, 2, 0))
    assert image[0, 0, 0] == slices.min()
    assert label[:8].max() == 0


def test_a_transform_that_changes_the_shape_is_refused_at_once(store: SliceStore, tiny_dataset: Path) -> None:
    settings = config(tiny_dataset, "augment.torchio=[{CropOrPad: {target_shape: 20}}]")
    with pytest.raises(UsageError, match="must keep the shape of image and mask"):
        training_loader(store, NAMES, settings)
