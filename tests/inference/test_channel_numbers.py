"""Prediction tells of folders whose files are numbered otherwise than those of training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from spine_ignite.inference.channel_numbers import trained_numbers
from spine_ignite.inference.exam_files import collect

T1_T2 = ("t1", "t2")
TWO_FIRST = {0: "t2", 1: "t1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Numbered images of an exam, beside which a ``dataset.json`` may lie."""
    path = tmp_path / "new" / "imagesTs"
    path.mkdir(parents=True)
    for number in range(2):
        (path / f"a_{number:04d}.nii.gz").write_bytes(b"")
    return path


def describe(folder: Path, *channels: str) -> None:
    names = {str(number): name for number, name in enumerate(channels)}
    (folder.parent / "dataset.json").write_text(json.dumps({"labels": {"background": 0}, "channel_names": names}))


def notes(folder: Path, *trained: Mapping[int, str]) -> tuple[str, ...]:
    return collect(T1_T2, [folder], folder.parent / "out", trained=trained).notes


def test_numbers_that_no_file_explains_are_told_with_those_of_training(folder: Path) -> None:
    said = f"in {folder} no file says what the numbers at the end of names mean, and _0000 is t1, _0001 is t2, as the "
    said += "network counts them{}; if they are numbered otherwise, give a table (CSV: case, contrast, image)"
    assert notes(folder) == notes(folder, {0: "t1", 1: "t2"}) == (said.format(""),)
    swapped = said.format("; in training _0000 is t2, _0001 is t1")
    assert notes(folder, TWO_FIRST) == notes(folder, {0: "t1"}, TWO_FIRST) == (swapped,)
    assert notes(folder, {0: "t1", 2: "t2"}) == (said.format("; in training _0000 is t1, _0002 is t2"),)


def test_numbers_that_a_file_explains_are_told_where_training_had_others(folder: Path) -> None:
    describe(folder, "T2", "T1")
    assert notes(folder) == notes(folder, TWO_FIRST) == ()
    said = f"in {folder} _0000 is t2, _0001 is t1, as its dataset.json says; in training _0000 is t1, _0001 is t2"
    assert notes(folder, {0: "t1", 1: "t2"}) == (said,)
    describe(folder)  # a file that names no channel explains nothing
    assert "no file says" in notes(folder)[0]


def test_every_network_is_asked_what_it_was_trained_on(tmp_path: Path, write_run: Callable[..., Path]) -> None:
    one, two = (write_run(tmp_path / name, "data.contrasts=[t1,t2]") for name in ("one", "two"))
    assert trained_numbers([one, two]) == []
    recorded = {"contrasts": {"data.root": {"by": "dataset.json", "channels": {"t1": 1, "t2": 0}}}}
    (two / "environment.json").write_text(json.dumps(recorded))
    assert trained_numbers([one, two]) == [TWO_FIRST]
