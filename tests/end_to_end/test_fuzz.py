"""A short run of the fuzzer; ``make stress`` has the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


def test_damaged_inputs_are_refused_with_a_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "ignore", str(FUZZ), "--inputs", "1400", "--keep", str(tmp_path / "found")]
    result = subprocess.run([*words, "--out", str(tmp_path / "fuzz.json")], capture_output=True, text=True, check=False)
    found = {path.name: path.read_text()[-1500:] for path in (tmp_path / "found").glob("*.txt")}
    assert result.returncode == 0, f"{found} {result.stderr[-1500:]}"
    record = json.loads((tmp_path / "fuzz.json").read_text())
    assert len(record["targets"]) == 14
    assert all(row["refused"] > 0 for row in record["targets"]), "each kind is really read"
    assert sum(row.get("accepted", 0) for row in record["targets"]) > 50, "and is not always broken"
