"""What the documents name is there: a promise names the test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PLACE = re.compile(r"(?<![\w/])(?:tests|benchmarks|docs)/[\w./-]*[\w/]")
BELOW_TESTS = re.compile(r"(?<![\w/])test_\w+\.py")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def missing(text: str, folder: Path) -> list[str]:
    """What a document names and is not there."""
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text))
    tests = {path.name for path in ROOT.glob("tests/**/test_*.py")} | {
        path.name for path in ROOT.glob("plugins/*/tests/test_*.py")
    }
    found = [name for name in PLACE.findall(quoted) if not (ROOT / name).exists()]
    found += [name for name in BELOW_TESTS.findall(quoted) if name not in tests]
    return sorted({*found, *(link for link in LINK.findall(text) if not (folder / link).exists())})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_is_there(document: Path) -> None:
    assert missing(document.read_text(encoding="utf-8"), document.parent) == []


def test_every_promise_of_reliability_names_what_shows_it() -> None:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    promises = [row for heading, _, *rows in tables if "shown by" in heading for row in rows]
    shown = [row.rstrip(" |").rpartition(" | ")[2] for row in promises]
    assert len(shown) > 20
    assert [cell for cell in shown if not re.search(r"`(tests/|benchmarks/|test_)|^the same", cell)] == []
