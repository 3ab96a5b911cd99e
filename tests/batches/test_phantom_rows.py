from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.batches.loaders import create_training_loader
from spine_ignite.batches.phantom_rows import PhantomRows
from spine_ignite.config import DataConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import Exam, make_phantom
from spine_ignite.slices.build import build_store
from spine_ignite.volumes.geometry import SliceGrid

COARSE = {"spacing": (6.0, 6.0), "batch_size": 4, "phantom_options": {"slices": 2, "variety": 0.0, "view": "lumbar"}}


def section(**data: Any) -> DataConfig:
    return load_config({"data": {**COARSE, **data}}).data


def phantoms(scheme: str = "spine", steps: int = 5, seed: int = 0, **data: Any) -> PhantomRows:
    settings = section(**data)
    assert settings.spacing is not None
    return PhantomRows(settings, load_scheme(scheme), settings.spacing, steps, seed)


def drawn(rows: PhantomRows, step: int, size: tuple[int, int] = (48, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.full((rows.batch_size, 1 + 2 * rows.context, *size), torch.nan)
    label = torch.full((rows.batch_size, *size), 77, dtype=torch.uint8)
    rows.fill(step, image, label)
    return image, label


def test_rows_are_slices_of_the_volume_that_the_phantom_command_writes() -> None:
    rows = phantoms(phantoms=1, context_slices=1, phantom_options={"slices": 4, "variety": 0.0})
    rows.spacing = Exam(rows.seed, 0, 0, None, rows.options).scan.spacing[1:]  # its own: nothing is interpolated
    volume = make_phantom(rows.seed, 0, 0, None, rows.options)
    grid = SliceGrid.from_geometry(volume.image.shape, volume.affine, rows.spacing)
    masks, planes = grid.native_slices(volume.label), grid.native_slices(volume.image.astype(np.float32))
    image, label = drawn(rows, 0, masks.shape[1:])
    found = [int(np.argmax([np.corrcoef(one[1].ravel(), p.ravel())[0, 1] for p in planes])) for one in image.numpy()]
    assert {later - earlier for earlier, later in pairwise(found)} <= {2, 3, 4}, "evenly apart"
    for one, mask, middle in zip(image.numpy(), label, found, strict=True):
        np.testing.assert_array_equal(mask, masks[middle])
        for channel, index in enumerate((middle - 1, middle, middle + 1)):
            plane = planes[min(max(index, 0), len(planes) - 1)]
            assert np.corrcoef(one[channel].ravel(), plane.ravel())[0, 1] > 0.99  # all but clipping
    assert abs(float(image.mean())) < 0.2
    assert 0.8 < float(image.std()) < 1.2


def test_slices_come_in_the_spacing_of_training() -> None:
    """Half the spacing: twice the rows and columns, and a structure has four times the pixels."""
    coarse, fine = phantoms(phantoms=1, spacing=(4.0, 4.0)), phantoms(phantoms=1, spacing=(2.0, 2.0))
    few, many = drawn(coarse, 0, (120, 120))[1][2:], drawn(fine, 0, (240, 240))[1][2:]
    assert int((few > 0).sum()) > 500
    assert 3.8 < int((many > 0).sum()) / int((few > 0).sum()) < 4.2


def test_only_the_last_rows_are_overwritten() -> None:
    rows = phantoms(phantoms=1)
    image, label = drawn(rows, 0)
    assert rows.rows(0) == 2
    assert bool(image[:2].isnan().all())
    assert bool((label[:2] == 77).all())
    assert bool(image[2:].isfinite().all())
    untouched, _ = drawn(rows, 1)
    assert rows.rows(1) == 0
    assert bool(untouched.isnan().all())


@given(count=st.integers(1, 60), steps=st.integers(1, 30), epoch=st.integers(0, 10**6))
@settings(max_examples=30)
def test_each_epoch_has_its_own_phantoms_and_all_of_them(count: int, steps: int, epoch: int) -> None:
    if count > 2 * steps:
        with pytest.raises(UsageError, match=rf"an epoch of {steps} batches of 4 has room for {2 * steps} of 2 slices"):
            phantoms(phantoms=count, steps=steps)
        return
    rows = phantoms(phantoms=count, steps=steps)
    batches = [list(rows.numbers(step)) for step in range(epoch * steps, (epoch + 1) * steps)]
    assert [number for batch in batches for number in batch] == list(range(epoch * count, (epoch + 1) * count))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1, "spread evenly"


def test_a_phantom_depends_on_seed_and_number_alone() -> None:
    rows = phantoms(phantoms=5)
    later = drawn(rows, 3)
    assert all(map(torch.equal, [t[2:] for t in later], [t[2:] for t in drawn(phantoms(phantoms=5), 3)]))
    others = [drawn(rows, 2)[1], drawn(rows, 3 + 5)[1], drawn(phantoms(phantoms=5, seed=1), 3)[1]]
    assert not any(torch.equal(later[1], other) for other in others)


def test_classes_go_by_name_and_what_phantoms_do_not_know_stays_open() -> None:
    spine, own = load_scheme("spine"), phantoms(phantoms=1)
    assert bool(own.labelled.all())
    expected = drawn(own, 0)[1][2:]
    lumbar = phantoms("lumbar-vertebrae", phantoms=1)
    indices = drawn(lumbar, 0)[1][2:]
    names = load_scheme("lumbar-vertebrae").names
    assert bool(lumbar.labelled.all())
    for index, name in enumerate(names[1:], 1):
        assert torch.equal(indices == index, expected == spine.names.index(name))
    assert set(indices.unique().tolist()) <= set(range(len(names)))

    # Vertebrae of SPIDER are whole bones, of which phantoms know the bodies alone.
    spider = phantoms("spider", phantoms=1)
    scheme, indices = load_scheme("spider"), drawn(spider, 0)[1][2:]
    kinds = [scheme.classes[index].kind for index in range(scheme.num_classes)]
    assert not any(has for has, kind in zip(spider.labelled.tolist(), kinds, strict=True) if kind == "vertebra")
    assert {kinds[int(index)] for index in indices.unique()} == {"background", "disc", "canal"}
    assert all(bool(spider.labelled[int(index)]) for index in indices.unique())
    assert "classes open" in spider.description


def test_a_scheme_that_shares_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liver.yaml"
    classes = "{value: 0, name: background, kind: background, color: [0, 0, 0]}"
    classes += ", {value: 1, name: liver, kind: other, color: [9, 9, 9]}"
    path.write_text(f"name: liver\nclasses: [{classes}]\n")
    with pytest.raises(UsageError, match="phantoms have none of the classes of the scheme 'liver'"):
        phantoms(str(path), phantoms=1)


def test_what_phantoms_cannot_show_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no contrast 'flair' of phantoms"):
        phantoms(phantoms=1, phantom_options={"contrast": "flair"})
    with pytest.raises(UsageError, match="phantoms are mixed into whole slices"):
        section(phantoms=1, sampling="patches")


@pytest.mark.parametrize("workers", [0, 2])
def test_real_rows_stay_as_they_were_from_any_step_on(tiny_dataset: Path, workers: int) -> None:
    def epochs(start: int, count: int, workers: int) -> list[dict[str, torch.Tensor]]:
        data = {"root": tiny_dataset, "scheme": "lumbar-vertebrae", "phantoms": count, "workers": workers}
        config = load_config({"data": {**COARSE, **data}})
        store = build_store(config.data).store
        loader = create_training_loader(store, ["Case1", "Case2"], config.data, config.augment, seed=0)
        assert loader.steps_per_epoch == 2
        loader.start_at(start)
        return [batch for _ in range(2) for batch in loader.loader]

    plain, mixed = epochs(0, 0, 0), epochs(0, 3, workers)
    for step, (one, other) in enumerate(zip(plain, mixed, strict=True)):
        real = {0: 0, 1: 2}[step % 2]  # three phantoms of two rows in two batches of four
        for key in ("image", "label", "labelled"):
            assert torch.equal(one[key][:real], other[key][:real])
            assert one[key].shape == other[key].shape
        assert not torch.equal(one["image"][real:], other["image"][real:])
    for one, other in zip(mixed[1:], epochs(1, 3, workers), strict=False):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_origins_name_phantoms(tiny_dataset: Path) -> None:
    config = load_config({"data": {**COARSE, "root": tiny_dataset, "scheme": "lumbar-vertebrae", "phantoms": 3}})
    store = build_store(config.data).store
    loader = create_training_loader(store, ["Case1", "Case2"], config.data, config.augment, seed=0)
    assert loader.origins(0) == ["phantom 0", "phantom 0", "phantom 1", "phantom 1"]
    assert [origin.split()[-2] for origin in loader.origins(1)] == ["slice", "slice", "phantom", "phantom"]
