from __future__ import annotations

import gc
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.config import DataConfig
from spine_ignite.errors import DataError
from spine_ignite.slices.build import build_store
from spine_ignite.slices.store import MANIFEST, ReaderHold, SliceStore, delete_unless_read, open_store


@pytest.fixture
def store(tiny_dataset: Path) -> SliceStore:
    return build_store(DataConfig(root=tiny_dataset, scheme="lumbar-vertebrae", spacing=(1.3, 0.7))).store


def test_what_is_opened_is_what_was_built(store: SliceStore) -> None:
    opened = open_store(store.root)
    assert opened == store
    assert opened.fingerprint == store.fingerprint
    assert opened.scheme.names[1] == store.scheme.names[1]
    for case in opened.cases:
        counts = np.bincount(store.label(case).ravel(), minlength=opened.scheme.num_classes)
        assert case.voxels == tuple(counts)
        assert opened.image(case).shape == (case.num_slices, *case.size)


def test_the_fingerprint_knows_content_but_not_place(store: SliceStore) -> None:
    case = store.cases[0]
    moved = replace(case, image=replace(case.image, path="/elsewhere/Case1.nii.gz", mtime_ns=1))
    changed = replace(case, image=replace(case.image, sha256="0" * 64))
    rest = store.cases[1:]
    assert replace(store, cases=(*rest, moved)).fingerprint == store.fingerprint
    assert replace(store, cases=(changed, *rest)).fingerprint != store.fingerprint
    wider = replace(store.settings, spacing=(1.4, 0.7))
    assert replace(store, settings=wider).fingerprint != store.fingerprint


def test_equal_images_are_found_in_all_splits(tiny_dataset: Path) -> None:
    shutil.copy(tiny_dataset / "train/source/Case2.nii.gz", tiny_dataset / "test/source/Case5.nii.gz")
    store = build_store(DataConfig(root=tiny_dataset, scheme="lumbar-vertebrae")).store
    assert [[(c.split, c.name) for c in group] for group in store.duplicates()] == [
        [("train", "Case2"), ("test", "Case5")]
    ]


def test_writing_into_an_array_changes_no_file(store: SliceStore) -> None:
    array = store.label(store.cases[0])
    array[:] = 7
    assert store.label(store.cases[0]).max() < 7


def test_a_missing_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no slice store in .*; run `spine-ignite preprocess` first"):
        open_store(tmp_path)


def test_a_manifest_of_another_format_or_without_a_field_is_refused(store: SliceStore) -> None:
    path = store.root / MANIFEST
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "format": 1}))
    with pytest.raises(DataError, match="has format 1, this version reads 2"):
        open_store(store.root)
    del data["cases"][0]["grid"]
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="manifest.json is corrupt"):
        open_store(store.root)


@pytest.mark.parametrize("folder", ["../elsewhere/Case1", "train/../../elsewhere", "/elsewhere/Case1"])
def test_a_manifest_cannot_lead_out_of_the_store(store: SliceStore, folder: str) -> None:
    path = store.root / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["cases"][0]["folder"] = folder
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="manifest.json is corrupt"):
        open_store(store.root)


def test_a_missing_array_says_what_to_do(store: SliceStore) -> None:
    case = store.cases[0]
    (store.root / case.folder / "image.npy").unlink()
    assert not store.is_complete(case)
    with pytest.raises(DataError, match="image.npy cannot be read; run `spine-ignite preprocess` again"):
        store.image(case)


def test_nothing_is_deleted_while_somebody_reads(store: SliceStore) -> None:
    deleted: list[str] = []
    first, second = ReaderHold(store), ReaderHold(store)
    delete_unless_read(store, lambda: deleted.append("early"))
    del first
    delete_unless_read(store, lambda: deleted.append("still early"))
    del second
    gc.collect()
    delete_unless_read(store, lambda: deleted.append("now"))
    assert deleted == ["now"]


def test_a_hold_that_ends_closes_its_file(store: SliceStore) -> None:
    hold = ReaderHold(store)
    descriptor = hold._descriptor
    assert descriptor is not None
    os.fstat(descriptor)
    del hold
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_reader_that_comes_during_a_deletion_waits_for_its_hold(store: SliceStore) -> None:
    holds: list[ReaderHold] = []
    reader = threading.Thread(target=lambda: holds.append(ReaderHold(store)))

    def delete() -> None:
        reader.start()
        reader.join(0.2)

    delete_unless_read(store, delete)
    reader.join()
    deleted: list[int] = []
    delete_unless_read(store, lambda: deleted.append(1))
    assert not deleted
