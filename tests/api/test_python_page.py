"""The page about Python, run from top to bottom as a reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def blocks() -> list[str]:
    """Code of the page, each at the lines that it has there, so that a traceback names them."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: match.start(1)].count("\n") + match[1] for match in found]


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "notebook"}
    for block in blocks():
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["result"].epochs == 2
    assert (tmp_path / "curves.png").is_file()
    assert len(names["losses"]) == 3
    assert len(names["summary"].cases) == 2
    assert "train.epoch" in capsys.readouterr().out
