from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.errors import RunError
from spine_ignite.files import write_atomically
from spine_ignite.inference.records import (
    is_done,
    is_made_by_hand,
    record_file,
    require_as_written,
    require_replaceable,
    write_record,
)
from spine_ignite.volumes.volume import read_image, read_label, write_label_like

Writer = Callable[..., Path]
OLD, NEW = "0" * 64, "1" * 64


def settings(weights: str) -> dict[str, Any]:
    member = {"weights": weights, "views": ["as it is"], "window": None, "overlap": None, "run": "runs/a"}
    return {"members": [member], "postprocess": []}


@pytest.fixture
def scan(tmp_path: Path, write_volume: Writer) -> Path:
    return write_volume(tmp_path / "scan.nii.gz", np.zeros((4, 4, 3), np.int16))


def make(output: Path, scan: Path, image: str, value: int, maps: dict[str, Path] | None = None) -> None:
    """What predicting does: the maps, then the record, then the volume; the labels are of one value."""
    for path in (maps or {}).values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([value]))
    made = {"image": str(scan), "image_sha256": image, **settings(image)}
    labels = np.full((4, 4, 3), value, np.uint8)
    write_label_like(
        output, labels, read_image(scan), lambda complete: write_record(output, complete, maps or {}, made)
    )


def done(output: Path, image: str, maps: dict[str, Path] | None = None) -> bool:
    try:
        return is_done(output, image, settings(image), maps or {})
    except RunError:
        return False


@pytest.mark.parametrize("former", [False, True])
def test_no_order_of_kills_can_lie(
    tmp_path: Path, scan: Path, former: bool, die_at_rename: Callable[..., None]
) -> None:
    """Whatever was done when the process died: what is called done is of the image and the weights in question."""
    seen = set()
    for rename in range(3):
        for after in (False, True):
            output = tmp_path / f"{rename}-{after}" / "scan.nii.gz"
            if former:
                make(output, scan, OLD, 2)
            die_at_rename(rename, after, partial(make, output, scan, NEW, 3))
            value = int(read_label(output).array[0, 0, 0]) if output.is_file() else None
            assert done(output, NEW) == (value == 3)
            assert not (done(output, OLD) and value != 2)
            seen.add((value, done(output, NEW), done(output, OLD)))
            make(output, scan, NEW, 3)
            assert done(output, NEW), "the next run mends it"
    assert (3, True, False) in seen
    assert len(seen) == (3 if former else 2), "killed before the record, between record and volume, after the volume"


def test_no_kill_makes_a_segmentation_of_ours_somebody_else_s(
    tmp_path: Path, scan: Path, die_at_rename: Callable[..., None]
) -> None:
    """The record comes before the segmentation, so that it knows whatever a killed process left in its place."""

    def predict(output: Path, image: str, value: int) -> None:
        seg = output.with_name("scan.dcm")
        require_as_written(output, "dicom-seg", seg)
        made = {"image": str(scan), "image_sha256": image, **settings(image)}
        with write_atomically(seg) as complete:
            complete.write_bytes(bytes([value]))
            labels = np.full((4, 4, 3), value, np.uint8)
            write_label_like(
                output,
                labels,
                read_image(scan),
                lambda volume: write_record(output, volume, {"dicom-seg": complete}, made, {"dicom-seg": seg}),
            )

    for rename in range(4):
        output = tmp_path / str(rename) / "scan.nii.gz"
        seg = output.with_name("scan.dcm")
        predict(output, OLD, 2)
        die_at_rename(rename, False, partial(predict, output, NEW, 3))
        die_at_rename(1, False, partial(predict, output, NEW, 4))
        assert seg.read_bytes() == bytes([3 if rename == 3 else 2])
        assert not is_done(output, NEW, settings(NEW), {"dicom-seg": seg}) or rename == 3
        predict(output, NEW, 5)
        assert seg.read_bytes() == bytes([5])
        assert is_done(output, NEW, settings(NEW), {"dicom-seg": seg})
        seg.write_bytes(b"by hand")
        with pytest.raises(RunError, match="scan.dcm is not as predict wrote it, corrected by hand for all"):
            predict(output, NEW, 6)


def test_what_was_left_unfinished_is_made_again(tmp_path: Path, scan: Path) -> None:
    output = tmp_path / "out" / "scan.nii.gz"
    make(output, scan, OLD, 2)
    volume = output.read_bytes()
    make(output, scan, NEW, 3)
    output.write_bytes(volume)
    assert not is_done(output, NEW, settings(NEW), {}), "the record says that the former volume was being replaced"


@pytest.mark.parametrize("bytes_left", [0, 30, -1])
def test_a_truncated_volume_is_made_again(tmp_path: Path, scan: Path, bytes_left: int) -> None:
    output = tmp_path / "scan_labels" / "scan.nii.gz"
    make(output, scan, NEW, 3)
    output.write_bytes(output.read_bytes()[:bytes_left])
    assert not is_done(output, NEW, settings(NEW), {})


def test_labels_that_were_corrected_by_hand_are_kept(tmp_path: Path, scan: Path) -> None:
    output = tmp_path / "out" / "scan.nii.gz"
    make(output, scan, NEW, 3)
    write_label_like(output, np.ones((4, 4, 3), np.uint8), read_image(scan))
    for act in (partial(is_done, output, NEW, settings(NEW), {}), partial(require_replaceable, output)):
        with pytest.raises(
            RunError, match="was changed after it was made, by hand for all that is known; .* remove it"
        ):
            act()


def test_a_volume_without_a_record_is_not_ours(tmp_path: Path, scan: Path) -> None:
    output = tmp_path / "out" / "scan.nii.gz"
    make(output, scan, NEW, 3)
    record_file(output).unlink()
    for act in (partial(is_done, output, NEW, settings(NEW), {}), partial(require_replaceable, output)):
        with pytest.raises(RunError, match=r"has no record of how it was made \(scan.json\), as what is ours has; "):
            act()


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"members": []}', "[" * 100_000, '{"EchoTime": 0.1}'])
def test_a_file_in_the_record_s_place_is_not_ours(tmp_path: Path, record: str) -> None:
    """A sidecar of BIDS is called like that."""
    output = tmp_path / "scan.mha"
    record_file(output).write_text(record)
    for act in (partial(is_done, output, NEW, settings(NEW), {}), partial(require_replaceable, output)):
        with pytest.raises(RunError, match="scan.json is in the way of the record of scan.mha, and is none; .* remove"):
            act()


def test_a_record_of_an_older_version_vouches_for_nothing(tmp_path: Path, scan: Path) -> None:
    output = tmp_path / "out" / "scan.nii.gz"
    make(output, scan, NEW, 3)
    record_file(output).write_text(json.dumps({"image": "scan.nii.gz", **settings(NEW)}))
    with pytest.raises(RunError, match="is of an older version and does not tell of which image"):
        is_done(output, NEW, settings(NEW), {})
    assert require_replaceable(output) is not None, "it is ours"


def test_maps_belong_to_their_labels(tmp_path: Path, scan: Path) -> None:
    output = tmp_path / "out" / "scan.nii.gz"
    maps = {"uncertainty": tmp_path / "out" / "uncertainty" / "scan.nii.gz"}
    make(output, scan, NEW, 3, maps)
    assert is_done(output, NEW, settings(NEW), maps)
    maps["uncertainty"].write_bytes(b"of another prediction")
    assert not is_done(output, NEW, settings(NEW), maps)
    assert is_done(output, NEW, settings(NEW), {})
    make(output, scan, NEW, 3)
    assert json.loads(record_file(output).read_text())["maps_sha256"] == {}
    assert not is_done(output, NEW, settings(NEW), maps), "these maps are of the prediction before"


def test_only_what_is_recorded_and_unchanged_counts_as_ours(tmp_path: Path, scan: Path) -> None:
    folder = tmp_path / "predictions"
    for name in ("kept", "corrected", "damaged"):
        make(folder / f"{name}.nii.gz", scan, NEW, 3)
    write_label_like(folder / "corrected.nii.gz", np.full((4, 4, 3), 4, np.uint8), read_image(scan))
    (folder / "damaged.nii.gz").write_bytes(b"half")
    write_label_like(folder / "other-tool.nii.gz", np.full((4, 4, 3), 4, np.uint8), read_image(scan))
    (folder / "notes.json").write_text("{}")
    by_hand = {path.name for path in folder.iterdir() if is_made_by_hand(path)}
    assert by_hand == {"corrected.nii.gz", "corrected.json", "other-tool.nii.gz", "notes.json"}
