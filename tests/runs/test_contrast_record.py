"""A run records what told the contrasts of its datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite.config import load_config
from spine_ignite.config.data import DataConfig
from spine_ignite.runs.contrast_record import contrasts_of, recorded_numbers
from spine_ignite.runs.directory import RunDirectory


def numbered(root: Path, channel_names: dict[str, str] | None = None) -> Path:
    (root / "imagesTr").mkdir(parents=True)
    for number in range(2):
        (root / "imagesTr" / f"a_{number:04d}.nii.gz").write_bytes(b"")
    if channel_names is not None:
        described = {"labels": {"background": 0}, "channel_names": channel_names}
        (root / "dataset.json").write_text(json.dumps(described))
    return root


def section(root: Path, *overrides: str) -> DataConfig:
    return load_config(None, [f"data.root={root}", *overrides]).data


def test_each_dataset_says_what_told_its_contrasts(tmp_path: Path) -> None:
    described = numbered(tmp_path / "one", {"0": "T2w", "1": "PD", "2": "T1"})
    counted, table, named = numbered(tmp_path / "two"), numbered(tmp_path / "three"), tmp_path / "four"
    (table / "contrasts.csv").write_text("case,contrast,image\n")
    (named / "images").mkdir(parents=True)
    (named / "masks").mkdir()
    also = [{"name": root.name, "root": str(root)} for root in (counted, table, named, tmp_path / "nowhere")]
    found = contrasts_of(section(described, "data.contrasts=[t1,t2]", f"data.also={json.dumps(also)}"))
    assert found == {
        "data.root": {"by": "dataset.json", "channels": {"t1": 2, "t2": 0}, "names": {"t1": "T1", "t2": "T2w"}},
        "data.also.0.root": {"by": "order", "channels": {"t1": 0, "t2": 1}},
        "data.also.1.root": {"by": "contrasts.csv"},
        "data.also.2.root": {"by": "names"},
    }
    assert contrasts_of(section(described)) == {}
    directory = RunDirectory(tmp_path / "run")
    directory.root.mkdir()
    directory.environment.write_text(json.dumps({"contrasts": found}))
    assert recorded_numbers(directory) == [{2: "t1", 0: "t2"}, {0: "t1", 1: "t2"}]


@pytest.mark.parametrize(
    "text",
    [None, "{}", "[", "[]", '{"contrasts": 1}', '{"contrasts": {"a": 1}}', '{"contrasts": {"a": {"channels": 1}}}'],
)
def test_a_run_that_says_nothing_has_no_numbers(tmp_path: Path, text: str | None) -> None:
    directory = RunDirectory(tmp_path)
    if text is not None:
        directory.environment.write_text(text)
    assert recorded_numbers(directory) == []
