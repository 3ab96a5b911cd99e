"""What is read beside label volumes: certificates, measurements, decisions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spine_ignite.csv_files import csv_text
from spine_ignite.errors import DataError
from spine_ignite.review.certificates import Certificate, read_certificate
from spine_ignite.review.decisions import COLUMNS, Decision, decided_files, read_decisions
from spine_ignite.review.ranges import read_findings

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
DIGEST = "0" * 64


def test_a_certificate_is_told_in_words(tmp_path: Path) -> None:
    column = {
        "posterior": 0.93,
        "verdict": "accepted",
        "risk": 0.02,
        "calibration": "uncalibrated",
        "reasons": ["L5 and S1 look fused"],
        "alternatives": [{"lowest": "L6", "highest": "T11", "posterior": 0.05}],
    }
    instances = [
        {"id": 1, "kind": "vertebra", "level": "L5", "probability": 0.98, "flags": ["cut off by the field of view"]},
        {"id": 2, "kind": "disc", "level": None, "probability": None, "flags": ["not a vertebra"]},
    ]
    document = {"format": 1, "scheme": "spine", "instances": instances, "column": column}
    (tmp_path / "a.levels.json").write_text(json.dumps(document))
    assert read_certificate(tmp_path / "a.nii.gz") == Certificate(
        "accepted",
        0.93,
        0.02,
        "uncalibrated",
        ("L5 and S1 look fused",),
        ("lowest L6, highest T11: 5.0%",),
        {"L5": 0.98},
        ("L5: cut off by the field of view", "a disc without a level: not a vertebra"),
    )
    assert read_certificate(tmp_path / "b.nii.gz").verdict == "not certified"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(column=JSON, instances=JSON, verdict=st.sampled_from(["accepted", "yes", None]))
def test_whatever_a_certificate_holds_it_is_read_and_accepts_only_what_it_says(
    tmp_path: Path, column: Any, instances: Any, verdict: Any
) -> None:
    if isinstance(column, dict):
        column["verdict"] = verdict
    (tmp_path / "a.levels.json").write_text(json.dumps({"format": 1, "column": column, "instances": instances}))
    found = read_certificate(tmp_path / "a.nii.gz")
    assert found.verdict == "ask" or (isinstance(column, dict) and verdict == "accepted")
    assert found.posterior is None or 0 <= found.posterior <= 1


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "column": {"verdict": "accepted"}}', "\x00", "[" * 100_000])
def test_a_damaged_certificate_asks(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.levels.json").write_text(text)
    found = read_certificate(tmp_path / "a.nii.gz")
    assert found.verdict == "ask"
    assert "name the levels again" in found.reasons[0]


def test_measurements_out_of_range_are_told_with_their_source(tmp_path: Path) -> None:
    table = tmp_path / "measurements.csv"
    columns = ("file", "level", "kind", "ratio_anterior_posterior", "slip_mm", "lordosis_deg", "flags", "use")
    rows = [
        ("labels/a.nii.gz", "L1", "vertebra", 0.79, None, None, "irregular endplates; cut off", ""),
        ("labels/a.nii.gz", "L2", "vertebra", 0.80, None, None, "", ""),
        ("C:\\x\\b.nii.gz", "L4/L5", "disc", None, -3.4, None, "", ""),
        ("b.nii.gz", "L1-S1", "column", None, None, 63.0, "", ""),
    ]
    table.write_text(csv_text(columns, rows), encoding="utf-8")
    found = read_findings(table)
    assert [finding.text for finding in found["a.nii.gz"]] == [
        "L1: anterior over posterior height 0.79, below 0.8",
        "L1: irregular endplates",
        "L1: cut off",
    ]
    assert "Genant" in found["a.nii.gz"][0].source
    assert [finding.text for finding in found["b.nii.gz"]] == ["L4/L5: slip -3.4 mm, below -3 mm"]
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no table of measurements .it lacks the columns file and level"):
        read_findings(table)


def line(**changed: Any) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS, "") | {"case": "a", "file": "a.nii.gz", "sha256": DIGEST, "decision": "accept"}
    return row | changed


def write_decisions(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(csv_text(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]), encoding="utf-8")
    return path


def test_decisions_are_read_back(tmp_path: Path) -> None:
    table = write_decisions(
        tmp_path / "decisions.csv",
        line(remark='=SUM(A1), "fine"'),
        line(file="b.nii.gz", decision="correct", level="L3", x_mm=-1.5, y_mm=20.0, z_mm=3.25),
        line(file="c.nii.gz", decision="", remark="look again"),
    )
    first, second, third = read_decisions(table)
    assert first == Decision("a", "a.nii.gz", DIGEST, "accept", remark='=SUM(A1), "fine"')
    assert (second.verdict, second.level, second.point) == ("correct", "L3", (-1.5, 20.0, 3.25))
    assert second.condition == "L3@-1.5,20,3.25"
    assert (third.verdict, third.remark, third.condition) == (None, "look again", "")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"file": "../a.nii.gz"}, "line 2: '../a.nii.gz' is no name of a file"),
        ({"file": ""}, "is no name of a file"),
        ({"sha256": "0f"}, "'0f' is no SHA-256"),
        ({"decision": "maybe"}, "'maybe' is none of accept, reject, correct"),
        ({"decision": "correct", "level": "L3", "x_mm": 1.0, "y_mm": 2.0}, "'' is no place in mm"),
        ({"decision": "correct", "level": "L3", "x_mm": 1.0, "y_mm": 2.0, "z_mm": "nan"}, "'nan' is no place in mm"),
        ({"decision": "correct", "level": "L3 or so", "x_mm": 1.0}, "'L3 or so' is no level"),
        ({"level": "L3"}, "belong to the decision correct alone"),
    ],
)
def test_a_decision_that_cannot_be_meant_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_decisions(write_decisions(tmp_path / "decisions.csv", line(**changed)))


def test_two_decisions_about_a_file_and_tables_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: a second decision about a.nii.gz"):
        read_decisions(write_decisions(tmp_path / "decisions.csv", line(), line(decision="reject")))
    (tmp_path / "other.csv").write_text("case,file\n1,2\n")
    with pytest.raises(DataError, match="lacks the column sha256"):
        read_decisions(tmp_path / "other.csv")


def test_a_file_that_changed_since_it_was_reviewed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"labels")
    decision = Decision("a", "a.nii.gz", hashlib.sha256(b"labels").hexdigest(), "accept")
    assert decided_files([decision], tmp_path) == {tmp_path / "a.nii.gz": decision}
    (tmp_path / "a.nii.gz").write_bytes(b"other labels")
    with pytest.raises(DataError, match="has changed since it was reviewed"):
        decided_files([decision], tmp_path)
    (tmp_path / "a.nii.gz").unlink()
    with pytest.raises(DataError, match="is not there"):
        decided_files([decision], tmp_path)
