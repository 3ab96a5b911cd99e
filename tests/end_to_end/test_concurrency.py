"""A short run of the stress with processes that meet; ``make stress`` has the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONCURRENCY = Path(__file__).parents[2] / "benchmarks" / "concurrency.py"


def test_processes_that_meet_leave_what_one_alone_would(tmp_path: Path) -> None:
    scenarios = ["three_preprocessings", "two_trainings"]
    words = [sys.executable, "-W", "ignore", str(CONCURRENCY), "--rounds", "2", "--out", str(tmp_path / "rounds.json")]
    result = subprocess.run([*words, "--only", *scenarios], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    preprocessings, trainings = json.loads((tmp_path / "rounds.json").read_text())
    assert preprocessings["succeeded"] >= 2
    assert (trainings["succeeded"], trainings["refused"]) == (2, 2), "one of two in each round"
