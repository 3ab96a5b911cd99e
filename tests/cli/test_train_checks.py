"""``train --dry-run`` and ``train --overfit-batches``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite import cli

SMALL = [
    *("--set", "data.scheme=lumbar-vertebrae"),
    *("--set", "data.batch_size=2"),
    *("--set", "data.spacing=[2,2]"),
    *("--set", "model.width=4"),
    *("--set", "model.depth=3"),
    *("--set", "train.epochs=1"),
    *("--set", "log.tensorboard=false"),
    *("--set", "threads=1"),
]


def test_a_dry_run_prints_what_a_run_costs_and_makes_no_directory(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "--data", str(tiny_dataset), "--out", str(tmp_path / "run"), "--dry-run", *SMALL]
    assert cli.run(asked) == 0
    text = capsys.readouterr().out
    for fact in ("Dry run: nothing was written", "parameters", "2 x 1 x 32 x 24", "peak memory", "training step"):
        assert fact in text
    assert cli.run([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == [2, 1, 32, 24]
    assert not (tmp_path / "run").exists()
    assert not (tiny_dataset / ".spine-ignite-cache").exists()
    assert cli.run(["train", "--resume", str(tmp_path / "run"), "--dry-run"]) == 2


def test_an_overfit_check_tells_its_verdict(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "--data", str(tiny_dataset), "--out", str(tmp_path / "run"), "--overfit-batches", "1", *SMALL]
    assert cli.run([*asked, "--set", "optimizer.lr=1e-6", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["overfit_passed"] is False
    assert "Overfit check failed: Dice 0." in captured.err
    assert "always the same, without augmentation" in captured.err
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "overfit_batches: 1" in text
