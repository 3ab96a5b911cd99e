"""Exams of several contrasts in the slice store, and the batches that are read from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.batches.loaders import create_training_loader
from spine_ignite.batches.sampling import Request
from spine_ignite.batches.slice_dataset import SliceDataset
from spine_ignite.config import AugmentConfig, DataConfig
from spine_ignite.errors import DataError, UsageError
from spine_ignite.slices.build import build_store
from spine_ignite.slices.exam_slices import prepare
from spine_ignite.slices.normalise import normalise
from spine_ignite.slices.place import store_folder
from spine_ignite.slices.store import MANIFEST, SliceStore, StoredCase
from spine_ignite.volumes.volume import read_image

SPACING, CLIP = (1.0, 1.0), (0.0, 100.0)


def config(root: Path, **more: object) -> DataConfig:
    section = {"root": root, "scheme": "lumbar-vertebrae", "spacing": SPACING, "contrasts": ("t1", "t2"), **more}
    return DataConfig.model_validate(section)


def stored(store: SliceStore, name: str) -> StoredCase:
    return next(case for case in store.cases if case.name == name)


def test_each_contrast_lies_on_the_grid_of_the_first_and_is_normalised_by_itself(two_contrasts: Path) -> None:
    store = build_store(config(two_contrasts, clip_percentiles=CLIP)).store
    case = stored(store, "Case1")
    slices = store.image(case).astype(np.float32)
    assert slices.shape == (5, 2, 64, 48)
    assert store.label(case).shape == (5, 64, 48)
    np.testing.assert_allclose(slices.mean(axis=(0, 2, 3)), 0, atol=0.02)
    np.testing.assert_allclose(slices.std(axis=(0, 2, 3)), 1, atol=0.02)
    # Of what the classes are made: L4 is bright in t2 alone, L3 in t1 alone, wherever the voxels of either lay.
    label = store.label(case)
    names = store.scheme.names
    bright = {name: [slices[:, n][label == names.index(name)].mean() for n in (0, 1)] for name in ("L4", "L3")}
    assert bright["L4"][1] - bright["L4"][0] > 2
    assert bright["L3"][0] - bright["L3"][1] > 2
    one = read_image(case.images["t1"])
    np.testing.assert_allclose(slices[:, 0], normalise(case.grid.image_to_slices(one.array), CLIP), atol=2e-3)


def test_a_contrast_that_is_missing_is_zero(two_contrasts: Path) -> None:
    result = build_store(config(two_contrasts))
    store = result.store
    lacking = [store.image(stored(store, name)) for name in ("Case2", "Case3")]
    assert not lacking[0][:, 1].any()
    assert lacking[0][:, 0].any()
    assert not lacking[1][:, 0].any()
    assert lacking[1].shape == (5, 2, 64, 48), "the grid is that of t2 there, with its pixels brought to the spacing"
    assert list(stored(store, "Case3").images) == ["t2"]
    assert [note for note in result.notes if "lack" in note] == [
        f"1 of 7 cases in {two_contrasts} lacks the contrast t1, which is 0 there: Case3",
        f"2 of 7 cases in {two_contrasts} lack the contrast t2, which is 0 there: Case2, Case7",
    ]


def test_a_case_is_converted_again_when_any_of_its_images_changes(two_contrasts: Path) -> None:
    data = config(two_contrasts)
    first = build_store(data)
    assert (first.built, build_store(data).reused) == (7, 7)
    source = two_contrasts / "train" / "source"
    shutil.copy(source / "Case4_t2.nii.gz", source / "Case1_t2.nii.gz")
    again = build_store(data)
    assert (again.built, again.reused) == (1, 6)
    assert again.store.fingerprint != first.store.fingerprint
    (source / "Case4_t2.nii.gz").unlink()
    assert build_store(data).built == 1
    assert not build_store(data).store.image(stored(build_store(data).store, "Case4"))[:, 1].any()
    others = [store_folder(config(two_contrasts, contrasts=names)) for names in (("t2", "t1"), ())]
    assert len({again.store.root, *others}) == 3
    os.utime(source / "Case5_t2.nii.gz", (1, 1))
    assert build_store(data).built == 0


def test_a_store_without_contrasts_is_written_as_it_always_was(tiny_dataset: Path) -> None:
    store = build_store(DataConfig(root=tiny_dataset, scheme="lumbar-vertebrae", spacing=(1, 1))).store
    manifest = json.loads((store.root / MANIFEST).read_text())
    assert list(manifest["settings"]) == ["scheme", "spacing", "clip_percentiles", "border", "orientation", "nan"]
    assert all("contrasts" not in case for case in manifest["cases"])
    case = store.cases[0]
    assert case.label is not None
    settings = (
        f"StoreSettings(scheme={store.settings.scheme!r}, spacing=(1.0, 1.0), clip_percentiles=(0.5, 99.5), "
        "border='inside', orientation=None, nan='refuse')"
    )
    content = f"(2, {settings}, '{case.image.sha256}', '{case.label.sha256}')"
    assert case.folder == f"train/{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def test_fields_of_view_that_do_not_meet_are_refused_by_name(two_contrasts: Path, write_volume: object) -> None:
    import nibabel as nib

    path = two_contrasts / "train" / "source" / "Case1_t2.nii.gz"
    image = nib.load(path)
    affine = image.affine.copy()
    affine[2, 3] += 50
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    with pytest.raises(
        DataError, match=r"Case1_t2\.nii\.gz \(t2\) covers \d+ % of the field of view of \S+Case1_t1\.nii"
    ):
        build_store(config(two_contrasts))


def test_channels_are_contrasts_and_in_each_the_neighbours(two_contrasts: Path) -> None:
    store = build_store(config(two_contrasts)).store
    case = stored(store, "Case1")
    images = store.image(case).astype(np.float32)
    batch = SliceDataset(store, [case], 1, (64, 48))[Request(0, [2, 0])]
    assert batch["image"].shape == (2, 6, 64, 48)
    for channel, (contrast, place) in enumerate([(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]):
        np.testing.assert_array_equal(batch["image"][0, channel].numpy(), images[place, contrast])
    np.testing.assert_array_equal(batch["image"][1, 3].numpy(), images[0, 1], err_msg="the first slice is repeated")


def test_patches_hold_the_same_channels(two_contrasts: Path) -> None:
    sampling = {"sampling": "patches", "patch": {"size": (16, 16), "samples_per_volume": 2}, "batch_size": 3}
    data = config(two_contrasts, context_slices=1, **sampling)
    store = build_store(data).store
    names = ["Case1", "Case2"]
    loader = create_training_loader(store, names, data, AugmentConfig(), seed=0)
    loader.start_at(0)
    batch = next(iter(loader.loader))
    assert batch["image"].shape == (3, 6, 16, 16)
    held = {name: store.image(stored(store, name)).astype(np.float32) for name in names}
    for image in batch["image"].numpy():
        lacks = not image[3:].any()
        planes = held["Case2" if lacks else "Case1"]
        assert any(
            (planes[:, 0, r : r + 16, c : c + 16] == image[1]).all((1, 2)).any() for r in range(49) for c in range(33)
        )


def test_which_contrast_an_image_is_must_be_said(two_contrasts: Path) -> None:
    volume = read_image(two_contrasts / "train" / "source" / "Case1_t1.nii.gz")
    with pytest.raises(
        UsageError, match=r"the network sees the contrasts t1, t2, and it is not said which one .*Case1_t1"
    ):
        prepare(volume, ("t1", "t2"), SPACING, CLIP)
