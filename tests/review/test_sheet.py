"""What is in a sheet, in which order, and that nothing in it is more than text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite import cli
from spine_ignite.csv_files import csv_text
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.review.certificates import Certificate
from spine_ignite.review.cohort import Case, worst_first
from spine_ignite.review.ranges import Finding
from spine_ignite.review.sheet import write_sheet

SCHEME = load_scheme("mrspineseg")
WriteCohort = Callable[..., tuple[Path, Path]]


class Elements(HTMLParser):
    """Elements of a page with attributes and the text right in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("", {}, []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def of(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attributes, "".join(texts)) for name, attributes, texts in self.found if name == tag]


def certificate(verdict: str, posterior: float, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
    column = {"posterior": posterior, "verdict": verdict, "risk": 0.02, "reasons": list(reasons)}
    return {"format": 1, "instances": [], "column": column}


def test_the_worst_comes_first() -> None:
    def case(name: str, verdict: Any, posterior: float | None = None, findings: int = 0, shown: bool = True) -> Case:
        pictures: Any = ("picture",) if shown else ()
        return Case(name, name, "", Certificate(verdict, posterior), (Finding("x"),) * findings, (), pictures)

    cases = [
        case("accepted, sure", "accepted", 0.999),
        case("not certified", "not certified"),
        case("accepted, less sure", "accepted", 0.98),
        case("accepted, as sure, with findings", "accepted", 0.999, 2),
        case("ask 10", "ask", 0.9),
        case("ask 9", "ask", 0.9),
        case("ask, unsure", "ask", 0.4, 0),
        case("unreadable", "accepted", 1.0, shown=False),
    ]
    assert [found.name for found in worst_first(cases)] == [
        "unreadable",
        "ask, unsure",
        "ask 9",
        "ask 10",
        "not certified",
        "accepted, less sure",
        "accepted, as sure, with findings",
        "accepted, sure",
    ]


def test_a_sheet_has_every_case_with_its_certificate_and_findings(write_cohort: WriteCohort, tmp_path: Path) -> None:
    reasons = ("the sacrum is not in the field of view",)
    labels, images = write_cohort(
        tmp_path / "c", {"A": certificate("accepted", 0.99), "B": certificate("ask", 0.4, reasons), "C": None}
    )
    (labels / "D.nii.gz").write_bytes(b"nothing")
    (images / "C.nii.gz").unlink()
    table = tmp_path / "m.csv"
    table.write_text(csv_text(("file", "level", "slip_mm", "flags"), [("x/A.nii.gz", "L3/L4", 4.0, "")]))
    sheet = write_sheet(labels, tmp_path / "s.html", SCHEME, images=images, measurements=table)
    text = sheet.path.read_text(encoding="utf-8")
    page = Elements(text)
    assert sheet.verdicts == {"not certified": 2, "ask": 1, "accepted": 1}
    unread, imageless = sheet.problems
    assert unread.startswith("D.nii.gz: D.nii.gz")
    assert imageless == "C.nii.gz: it has no image in the folder of images"
    assert str(tmp_path) not in text, "where the files were is nobody's business who gets the sheet"
    (data,) = (json.loads(content) for found, content in page.of("script") if found.get("id") == "sheet-data")
    assert [case["name"] for case in data["cases"]] == ["D", "B", "C", "A"]
    assert data["cases"][1]["sha256"] == hashlib.sha256((labels / "B.nii.gz").read_bytes()).hexdigest()
    assert [vertebra[0] for vertebra in data["cases"][1]["vertebrae"]] == ["L5", "L4", "L3", "L2"]
    # PSR from (-10, 20, 30): L3 spans voxels 20-44, 62-75 and 1-4 of 1 x 1 x 4 mm.
    np.testing.assert_allclose(data["cases"][1]["vertebrae"][2][1:], [-10 + 4 * 2.5, 20 - 32, 30 + 68.5], atol=0.06)
    items = [content.strip() for _, content in page.of("li")]
    assert reasons[0] in items
    assert "Out of range or doubtful: L3/L4: slip 4 mm, above 3 mm" in items
    assert len(page.of("svg")) == 6
    assert len(page.of("img")) == 4
    assert "no diagnosis" in text
    again = write_sheet(labels, tmp_path / "t.html", SCHEME, images=images, measurements=table)
    assert again.path.read_text(encoding="utf-8") == text


def test_names_and_sentences_cannot_break_out(write_cohort: WriteCohort, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>'\"><img src=x onerror=alert(1)>{{ 7*7 }}"
    name = evil.replace("/", "\N{DIVISION SLASH}")
    labels, images = write_cohort(tmp_path / "c", {name: certificate("ask", 0.5, (evil,))})
    plain_labels, plain_images = write_cohort(tmp_path / "d", {"A": certificate("ask", 0.5)})
    table = tmp_path / "m.csv"
    table.write_text(csv_text(("file", "level", "flags"), [(f"{name}.nii.gz", evil, evil)]))
    text = write_sheet(labels, tmp_path / "s.html", SCHEME, images=images, measurements=table).path.read_text()
    plain = write_sheet(plain_labels, tmp_path / "t.html", SCHEME, images=plain_images).path.read_text()
    page, known = Elements(text), Elements(plain)

    def scripts(of: Elements) -> list[str]:
        return [content for attributes, content in of.of("script") if "type" not in attributes]

    assert scripts(page) == scripts(known)
    assert len(scripts(page)) == 1
    assert all(attributes["src"].startswith("data:image/jpeg;base64,") for attributes, _ in page.of("img"))
    for tag, attributes, _ in page.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    (policy,) = (a["content"] for a, _ in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(scripts(page)[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert f" {name}" in ["".join(texts) for _, _, texts in page.found], "the heading, after its number"
    assert evil in ["".join(texts) for tag, _, texts in page.found if tag == "li"]


def test_a_sheet_is_not_written_where_or_as_what_it_does_not_belong(write_cohort: WriteCohort, tmp_path: Path) -> None:
    labels, images = write_cohort(tmp_path / "c", {"A": None})
    with pytest.raises(UsageError, match="give a name that ends in .html"):
        write_sheet(labels, labels / "A.nii.gz", SCHEME)
    with pytest.raises(UsageError, match="lies in the data, --images"):
        write_sheet(labels, images / "s.html", SCHEME, images=images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no volumes"):
        write_sheet(tmp_path / "empty", tmp_path / "s.html", SCHEME)
    assert not (tmp_path / "s.html").exists()


def test_the_command_says_what_it_made_and_what_for(
    write_cohort: WriteCohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, images = write_cohort(tmp_path / "c", {"A": None, "B": certificate("ask", 0.5)})
    out = tmp_path / "s.html"
    assert cli.run(["review", str(labels), "--scheme", "mrspineseg", "--images", str(images), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"s\.html \(\d+\.\d MB; 2 label volumes: 1 ask, 1 not certified\); for research", said)
    assert cli.run(["review", str(labels), "--scheme", "mrspineseg", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cases"] == {"ask": 1, "not certified": 1}
    assert "no diagnosis" in told["use"]
    assert cli.run(["review", str(tmp_path / "nowhere"), "-o", str(out)]) == 1
    assert "nowhere" in capsys.readouterr().err
