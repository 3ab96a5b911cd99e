"""The sheet of a cohort in headless Chromium: keys, a click on a vertebra, the table that is downloaded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.csv_files import csv_text, read_csv
from spine_ignite.labels import load_scheme
from spine_ignite.review.decisions import decided_files, read_decisions
from spine_ignite.review.sheet import Sheet, write_sheet

OpenBrowser = Callable[..., Any]
Writer = Callable[..., Path]
# In the order of the sheet, by their posteriors.
CASES = ("<b>Case1</b>", "Case2", "Case3", "Case4")
ESCAPE, ENTER, LEFT, DOWN = "\ue00c", "\ue007", "\ue012", "\ue015"  # of the standard


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory, write_volume: Writer) -> Sheet:
    """Four columns of L5 to L2; the array axes point to P, S, R from (-10, 20, 30), voxels of 1 x 1 x 4 mm."""
    root = tmp_path_factory.mktemp("review")
    label = np.zeros((60, 110, 6), np.uint8)
    for value, low, high in ((1, 4, 18), (2, 22, 36), (3, 42, 56), (4, 62, 76), (5, 82, 96)):
        label[20:45, low:high, 1:5] = value
    image = 40 * (label > 0) + np.random.default_rng(0).integers(0, 25, label.shape)
    for number, name in enumerate(CASES):
        # A "/" cannot be in a file's name.
        file = name.replace("/", "")
        write_volume(root / "labels" / f"{file}.nii.gz", label)
        write_volume(root / "images" / f"{file}.nii.gz", image.astype(np.int16))
        column = {"posterior": 0.1 + number / 10, "verdict": "ask", "reasons": ["L5 and S1 look fused"]}
        document = {"format": 1, "instances": [], "column": column}
        (root / "labels" / f"{file}.levels.json").write_text(json.dumps(document))
    return write_sheet(root / "labels", root / "review.html", load_scheme("mrspineseg"), images=root / "images")


@pytest.fixture(scope="module")
def window(open_browser: OpenBrowser, sheet: Sheet) -> Any:
    """A browser that shows the sheet."""
    found = open_browser(webgl=False)
    found.open(sheet.path)
    return found


@pytest.fixture
def browser(window: Any, sheet: Sheet, tmp_path: Path) -> Any:
    """A browser that shows the sheet, nothing decided, and downloads to ``tmp_path``."""
    window.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    window.run("localStorage.clear()")
    window.open(sheet.path)
    window.wait("document.body.dataset.ready")
    return window


def press(browser: Any, *keys: str) -> None:
    """Press and release keys, one after the other, wherever the focus is."""
    actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
    browser.post("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])


def current(browser: Any) -> str | None:
    found: list[str] = browser.texts("article[aria-current] h2")
    return found[0].split(" ", 1)[1].strip() if found else None


def decisions(browser: Any) -> list[str]:
    texts: list[str] = browser.texts("article .decision")
    return texts


def download(browser: Any, folder: Path) -> Path:
    press(browser, "d")
    path = folder / "decisions.csv"
    end = time.monotonic() + 30
    while not path.is_file():
        assert time.monotonic() < end, "nothing was downloaded"
        time.sleep(0.05)
    return path


def test_the_sheet_renders_and_asks_nobody(browser: Any) -> None:
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry for entry in browser.log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = {m["params"]["request"]["url"][:5] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert "file:" in asked
    assert asked <= {"file:", "data:", "blob:"}
    browser.wait("document.querySelector('article img').complete")
    assert browser.run("return document.querySelector('article img').naturalWidth") > 20


def test_keys_decide_and_a_table_of_it_is_downloaded(browser: Any, sheet: Sheet, tmp_path: Path) -> None:
    press(browser, "a")
    assert current(browser) is None
    assert browser.texts("#progress") == ["0 of 4 decided"], "no case is chosen yet"
    press(browser, "j", "a")
    assert current(browser) == "Case2", "on to the next"
    press(browser, "r")
    press(browser, "m")
    for text in ("=1+1, 'and' \"so\" on", " jar"):  # keys in a remark decide nothing
        browser.press("article[aria-current] .remark input", text)
    press(browser, ESCAPE)
    assert current(browser) == "Case3"
    press(browser, "a", "k", "u", "k", "k")
    assert current(browser) == "<b>Case1<b>"
    press(browser, "n")
    assert current(browser) == "Case3", "the first without a decision"
    press(browser, DOWN, "a")
    assert decisions(browser) == ["✓ Accepted", "✗ Rejected", "No decision yet", "✓ Accepted"]
    assert browser.texts("#progress") == ["3 of 4 decided"]
    remark = "=1+1, 'and' \"so\" on jar"
    files = [f"{name.replace('/', '')}.nii.gz" for name in CASES]
    assert [(found.file, found.verdict, found.remark) for found in read_decisions(download(browser, tmp_path))] == [
        (files[0], "accept", ""),
        (files[1], "reject", ""),
        (files[2], None, remark),
        (files[3], "accept", ""),
    ]


def test_a_click_on_a_vertebra_corrects_the_levels(browser: Any, sheet: Sheet, tmp_path: Path) -> None:
    # In the sagittal picture of the second case, 4 mm above and 3 mm behind the middle of what is called L3.
    shape = "#case-1 .picture:first-of-type path[data-level=L3]"
    browser.run("document.querySelector('#case-1').scrollIntoView()")
    pixel = 0.8
    browser.click_at(shape, round(3 / pixel), -round(4 / pixel))
    assert browser.run("return document.activeElement.dataset.level") == "L3"
    press(browser, LEFT)  # from the foot up: the one before L3 is L4
    assert browser.texts("#chooser-preview") == ["From below: L6, L5, L4, L3"]
    press(browser, ENTER)
    line = decisions(browser)[1]
    assert line.startswith("↕ Levels corrected: L4@")
    point = [float(mm) for mm in line.partition("@")[2].split(",")]
    # L3 spans voxels 20 to 44 (P), 62 to 75 (S), 1 to 4 (R).
    middle = (-10 + 4 * 2.5, 20 - 32, 30 + 68.5)
    np.testing.assert_allclose(point, np.add(middle, (0, -3, 4)), atol=0.9)
    assert browser.texts("#case-1 .levels li") == ["L5 → L6", "L4 → L5", "L3 → L4", "L2 → L3"]
    assert browser.texts("#case-1 .picture:first-of-type text[data-level]") == ["L6", "L5", "L4", "L3"]
    assert browser.texts("#case-0 .levels li") == ["L5", "L4", "L3", "L2"]
    # By keys alone, at the centre of the lowest vertebra.
    press(browser, "j", "c")
    browser.press("#chooser-levels button[data-level=L5]", ENTER)
    assert current(browser) == "Case3"
    assert decisions(browser)[2] == f"↕ Levels corrected: L5@{-10 + 4 * 2.5:g},{20 - 32:g},{30 + 28.5:g}"
    path = download(browser, tmp_path)
    found = {decision.case: decision for decision in read_decisions(path)}
    assert found["Case2"].verdict == found["Case3"].verdict == "correct"
    assert found["Case2"].condition == line.removeprefix("↕ Levels corrected: ")
    assert found["Case3"].condition == f"L5@0,{20 - 32:g},{30 + 28.5:g}"


def test_what_was_decided_is_kept_and_read_back_as_it_was_written(browser: Any, sheet: Sheet, tmp_path: Path) -> None:
    press(browser, "j", "a", "r")
    remark = '=HYPERLINK("http://x"), <img src=x onerror=alert(1)>'
    press(browser, "m")
    browser.press("article[aria-current] .remark input", remark)
    browser.open(sheet.path)
    browser.wait("document.body.dataset.ready")
    assert browser.run("return document.querySelectorAll('article img[src=x]').length") == 0
    path = download(browser, tmp_path)
    assert "no diagnosis" in path.read_text(encoding="utf-8")
    kept = read_decisions(path)
    by_file = {decision.file: decision for decision in kept}
    assert by_file["<b>Case1<b>.nii.gz"].verdict == "accept"
    assert by_file["Case2.nii.gz"].verdict == "reject"
    assert by_file["Case3.nii.gz"].remark.endswith(remark)
    assert set(decided_files(kept, sheet.path.parent / "labels").values()) == set(kept), "their SHA-256 agree"


def test_the_table_is_written_as_the_program_writes_tables(browser: Any, tmp_path: Path) -> None:
    texts = ["=1", "' =1", "'x", "a,b", 'say "so"', "two\nlines\ttab", "\u202eflip", "\U000e0041", "é ✓", "", "\uff1d1"]
    rows = [[text, "x", 1.5, -2.25] for text in texts]
    columns = ["a", "b", "c", "d"]
    written = browser.run("return table.write(arguments[0], arguments[1])", columns, rows)
    assert written == csv_text(columns, rows)
    (tmp_path / "t.csv").write_text(written, encoding="utf-8", newline="")
    assert [row["a"] for row in read_csv(tmp_path / "t.csv")][:5] == texts[:5]
