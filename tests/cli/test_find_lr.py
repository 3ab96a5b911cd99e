from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite import cli

SMALL = [
    *("--set", "data.scheme=lumbar-vertebrae"),
    *("--set", "data.spacing=[2,2]"),
    *("--set", "data.batch_size=3"),
    *("--set", "data.foreground_share=1"),
    *("--set", "model.width=4"),
    *("--set", "model.depth=3"),
    *("--set", "threads=1"),
]


def test_it_prints_a_suggestion_with_its_use_and_draws_the_curve(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["find-lr", "--model", "unet", "--data", str(tiny_dataset), "--steps", "40", "--diverge", "1e6", *SMALL]
    assert cli.run([*asked, "-o", str(tmp_path / "plots" / "lr.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / "plots" / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert found["suggestion"] in found["rates"]
    assert len(found["rates"]) == len(found["losses"])
    assert (found["configured"], found["diverged"]) == (1e-3, False)
    assert cli.run(asked) == 0
    assert f"Use it with --set optimizer.lr={found['suggestion']:.1e} (now 1.0e-03)" in capsys.readouterr().out


def test_a_test_that_shows_nothing_is_a_failure(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bounds = ["--start", "1e-12", "--end", "1e-11", "--steps", "20"]
    assert cli.run(["find-lr", "--data", str(tiny_dataset), *bounds, *SMALL]) == 1
    assert "Error: the loss did not come down in 21 batches" in capsys.readouterr().err
    assert cli.run(["find-lr", "--data", str(tiny_dataset), "--start", "1", "--end", "1", *SMALL]) == 2
