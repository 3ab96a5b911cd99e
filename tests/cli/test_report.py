from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spine_ignite import cli


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run(["report", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_report_writes_into_the_run_and_says_what_is_in_it(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(judged_run, folder)
    code, out, err = run(capsys, folder)
    size = (folder / "report.html").stat().st_size / 1e6
    assert (code, err) == (0, "")
    assert out == f"Report: {folder / 'report.html'} ({size:.1f} MB, with the volumes of Case8, Case5)\n"
    code, out, _ = run(capsys, folder, "--cases", 0, "-o", tmp_path / "deep" / "page.html")
    small = (tmp_path / "deep" / "page.html").stat().st_size / 1e6
    assert (code, out) == (0, f"Report: {tmp_path / 'deep' / 'page.html'} ({small:.1f} MB)\n")
    assert small < size - 2, "without volumes there is no viewer either"


def test_what_cannot_be_shown_is_told_on_stderr(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, judged_run, "--data", tmp_path / "nowhere", "-o", tmp_path / "page.html")
    assert code == 0
    assert out.startswith("Report: ")
    assert err.startswith("No case can be shown: dataset folder")


def test_programs_are_told_the_same_in_json(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    code, out, err = run(capsys, judged_run, "-o", page, "--json")
    size = page.stat().st_size
    assert (code, err) == (0, "")
    assert json.loads(out) == {"file": str(page), "bytes": size, "cases": ["Case8", "Case5"], "problems": []}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "Error: nowhere is not a run directory: it has no config.yaml\n"),
        (["nowhere", "--cases", "-1"], 2, "-1 is not in the range x>=0"),
        (["nowhere", "--split", "train"], 2, "'train' is not one of 'test', 'validation'"),
        ([], 2, "Missing argument 'RUN'"),
    ],
)
def test_mistakes_are_told(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str) -> None:
    found, _, err = run(capsys, *arguments)
    assert (found, message in err) == (code, True), err


def test_a_page_that_cannot_be_written_is_told(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    code, _, err = run(capsys, judged_run, "-o", tmp_path / "file" / "page.html")
    assert code == 1
    assert "page.html cannot be written: a part of its path is a file, not a folder" in err


def test_a_page_takes_no_other_file_s_place(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = (judged_run / "config.yaml").read_bytes()
    code, _, err = run(capsys, judged_run, "-o", judged_run / "config.yaml")
    assert (code, "give a name that ends in .html" in err) == (2, True)
    assert (judged_run / "config.yaml").read_bytes() == config
    code, _, err = run(capsys, judged_run, "-o", judged_run.parent / "data" / "test" / "page.html")
    assert (code, "lies in the data" in err) == (2, True)
