"""Pages as a browser takes them apart."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

from spine_ignite.report import write_report

Rows = list[list[tuple[str, str]]]


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, the text of each, tables by id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []  # of each element, without that of the elements in it
        self.tables: dict[str, Rows] = {}
        self.open: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.texts.append("")
        if tag not in ("meta", "link", "input", "img", "br"):
            self.open.append(len(self.elements) - 1)
        attributes = self.elements[-1][1]
        if tag == "table":
            self.rows: Rows = []
            self.tables[attributes.get("id", "")] = self.rows
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append(("", attributes.get("data-sort", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.elements[self.open.pop()][0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        self.texts[self.open[-1]] += data
        if any(self.elements[index][0] in ("td", "th") for index in self.open):
            text, sort = self.rows[-1][-1]
            self.rows[-1][-1] = (" ".join(f"{text} {data}".split()), sort)

    def of(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attrs, text) for (name, attrs), text in zip(self.elements, self.texts, strict=True) if name == tag]

    def scripts(self) -> list[str]:
        return [text for attrs, text in self.of("script") if "type" not in attrs]

    def volume(self, name: str) -> Any:
        (text,) = (text for attrs, text in self.of("script") if attrs.get("id") == name)
        return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))

    def table(self, name: str) -> tuple[list[str], dict[str, dict[str, tuple[str, str]]]]:
        """Headings of a table, and its cells (text, sorted by) by row and column."""
        head, *rows = self.tables[name]
        headings = [text for text, _ in head]
        return headings, {row[0][0]: dict(zip(headings, row, strict=True)) for row in rows}


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], Page]:
    """``read_page(path)`` takes a page apart."""
    return Page


@pytest.fixture(scope="session")
def page(judged_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of ``judged_run``, with the volumes of two cases."""
    report = write_report(judged_run, tmp_path_factory.mktemp("page") / "report.html")
    assert report.problems == ()
    assert report.viewed == ("Case8", "Case5")
    assert report.megabytes == pytest.approx(report.path.stat().st_size / 1e6)
    return Page(report.path)
