"""What the project's texts name of its files is there: a promise names the test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FOLDERS = ("benchmarks", "configs", "docs", "plugins", "spine_ignite", "tests")
# In a folder of the project; or a page or a test by its name alone. Configurations are YAML: official repositories have
# others in a folder of that name.
CITED = re.compile(
    r"(?<![\w/.\"-])((?:benchmarks|docs|plugins|spine_ignite|tests)/[\w/.-]*\.(?:py|md|yaml)"
    r"|configs/[\w/.-]*\.yaml|\w+\.md|test_\w+\.py)\b"
)
# What the program writes, what an example invents. What code puts together from quoted parts is not looked for.
OTHERS = {
    "comparison.md",
    "study.md",
    "FILE.md",
    "test_mynet.py",
    "tests/test_mynet.py",
    "test_acme.py",
    "configs/models/NAME.yaml",
}
PLACE = re.compile(r"(?<![\w/])(?:tests|benchmarks|docs)/[\w./-]*[\w/]")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def missing(text: str, folder: Path) -> list[str]:
    """The places and links of a document that are not there; tests by their names alone are looked for below."""
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text))
    found = [name for name in PLACE.findall(quoted) if not (ROOT / name).exists()]
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


def test_files_that_are_cited_exist() -> None:
    texts = [
        path for folder in FOLDERS for ending in ("py", "md", "yaml") for path in ROOT.glob(f"{folder}/**/*.{ending}")
    ]
    texts += ROOT.glob("*.md")
    texts = [path for path in texts if ".venv" not in path.parts and "build" not in path.parts]
    names = {path.name for path in texts}
    assert len(texts) > 300
    missing = {
        f"{text.relative_to(ROOT)}: {cited}"
        for text in texts
        for cited in CITED.findall(text.read_text(encoding="utf-8"))
        if cited not in OTHERS
        and not any((folder / cited).exists() for folder in (ROOT, text.parent))
        and not ("/" not in cited and cited.startswith("test_") and cited in names)
    }
    assert not missing
