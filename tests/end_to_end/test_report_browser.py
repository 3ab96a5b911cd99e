"""The report in headless Chromium."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from spine_ignite.report import write_report

OpenBrowser = Callable[..., Any]
READY = "document.getElementById('viewer-canvas').dataset.shown"


@pytest.fixture(scope="module")
def report(judged_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a viewer of two cases."""
    path = tmp_path_factory.mktemp("browser") / "report.html"
    return write_report(judged_run, path).path


@pytest.fixture(scope="module")
def loaded(open_browser: OpenBrowser, report: Path) -> Any:
    """A browser that shows the report, its viewer ready."""
    browser = open_browser()
    browser.open(report)
    browser.wait(READY)
    return browser


def pixels(browser: Any) -> NDArray[np.uint8]:
    """The viewer's canvas as it is on the screen, RGB."""
    browser.run("document.getElementById('viewer').scrollIntoView()")
    picture = imread(io.BytesIO(browser.picture("#viewer-canvas")), format="png")[..., :3]
    return (255 * picture).round().astype(np.uint8)


def colourful(picture: NDArray[np.uint8]) -> int:
    """Number of pixels that are not grey: those of an overlay, since the image is."""
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    return int((spread > 40).sum())


def set_value(browser: Any, name: str, value: object) -> None:
    """Move a control as a hand would: its value changes, and it says so."""
    browser.run(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, { bubbles: true }));",
        name,
        str(value),
    )


def test_the_page_renders_without_errors_and_asks_nobody(loaded: Any, report: Path) -> None:
    assert loaded.texts("h1") == ["run"]
    assert loaded.texts("#classes tbody th") == ["S", "L5", "L4", "L3", "L4/L5", "L3/L4"]
    assert loaded.run("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry for entry in loaded.log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in loaded.log("performance")]
    asked = {m["params"]["request"]["url"][:5] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert "file:" in asked
    assert asked <= {"file:", "data:", "blob:"}
    names = loaded.run("return performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))")
    assert set(names) <= {"data:", "blob:"}


def test_the_policy_stops_a_script_that_is_not_ours(loaded: Any) -> None:
    loaded.run(
        "const s = document.createElement('script'); s.textContent = 'window.broken = true'; document.body.append(s);"
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
    )
    assert loaded.run("return window.broken === undefined")
    refused = [entry["message"] for entry in loaded.log("browser") if entry["level"] == "SEVERE"]
    assert len(refused) == 2
    assert all("Content Security Policy" in message for message in refused)


def test_the_viewer_goes_through_the_slices(loaded: Any) -> None:
    first = pixels(loaded)
    assert first.std() > 10, "the canvas is blank"
    assert loaded.texts("#viewer-number") == ["2 of 6"]
    set_value(loaded, "viewer-slice", 6)
    last = pixels(loaded)
    assert loaded.texts("#viewer-number") == ["6 of 6"]
    assert (first != last).any(axis=2).mean() > 0.05
    assert colourful(last) == 0 < colourful(first), "no structure reaches the last slice"
    loaded.wheel("#viewer-canvas", -120)
    loaded.wait("document.getElementById('viewer-number').textContent !== '6 of 6'")
    assert loaded.texts("#viewer-number") == ["5 of 6"]
    assert colourful(pixels(loaded)) > 0
    loaded.press("#viewer-slice", "\ue012")  # the left arrow key
    assert loaded.texts("#viewer-number") == ["4 of 6"]


def test_overlays_can_be_hidden_and_say_what_they_are(loaded: Any) -> None:
    set_value(loaded, "viewer-slice", 3)
    both = pixels(loaded)
    loaded.click("#viewer-prediction")
    reference = pixels(loaded)
    loaded.click("#viewer-reference")
    neither = pixels(loaded)
    loaded.click("#viewer-prediction")
    prediction = pixels(loaded)
    assert colourful(both) > colourful(prediction) > colourful(reference) > colourful(neither) == 0
    loaded.click("#viewer-outline")
    outline = pixels(loaded)
    assert 0 < colourful(outline) < colourful(prediction)
    loaded.click("#viewer-outline")
    set_value(loaded, "viewer-opacity", 90)
    assert pixels(loaded).max(axis=2).astype(int).sum() != prediction.max(axis=2).astype(int).sum()
    loaded.click("#viewer-reference")
    assert loaded.texts("#viewer-place") == ["At the cross: reference L4/L5, prediction L4/L5."]
    height = loaded.run("return document.getElementById('viewer-canvas').clientHeight")
    loaded.click_at("#viewer-canvas", 0, round((0.5 - 23.5 / 72) * height))  # L5 is 18 to 29 mm above the lower edge
    assert loaded.texts("#viewer-place") == ["At the cross: reference L5, prediction L4."], "this case is shifted"


def test_another_case_and_another_view(loaded: Any) -> None:
    titles = loaded.texts("#viewer-case option")
    assert [title.split()[:2] for title in titles] == [["Case8", "(worst,"], ["Case5", "(best,"]]
    before = pixels(loaded)
    set_value(loaded, "viewer-case", 1)
    loaded.wait(f"document.getElementById('viewer-canvas').dataset.shown === {json.dumps(titles[1])}")
    assert (pixels(loaded) != before).any()
    assert loaded.texts("#viewer-place") == ["At the cross: reference L4/L5, prediction L4/L5."]
    set_value(loaded, "viewer-view", 0)
    assert loaded.texts("#viewer-number")[0].endswith(" of 72"), "axial slices"
    assert [entry for entry in loaded.log("browser") if entry["level"] == "SEVERE"] == []


def test_tables_sort_by_their_figures_both_ways(loaded: Any) -> None:
    column = loaded.texts("#classes thead th").index("Dice") + 1
    cells = f"#classes tbody td:nth-child({column})"
    original = loaded.texts(cells)
    loaded.click(f"#classes thead th:nth-child({column}) button")
    assert loaded.texts(cells) == sorted(original, key=float) != original
    loaded.press(f"#classes thead th:nth-child({column}) button", "\ue007")  # the enter key
    assert loaded.texts(cells) == sorted(original, key=float, reverse=True)
    assert loaded.run("return document.querySelector('#classes [aria-sort]').textContent.trim()") == "Dice"
    assert loaded.texts("#classes tfoot th") == ["Mean of classes"], "the mean stays below"


def test_settings_can_be_filtered(loaded: Any) -> None:
    loaded.run("document.querySelector('#configuration details').open = true")
    loaded.press("#configuration input", "LR")
    shown = loaded.texts("#configuration-table tr:not([hidden]) th")
    assert "optimizer.lr" in shown
    assert all("lr" in row.lower() for row in loaded.texts("#configuration-table tr:not([hidden])"))
    assert len(shown) < len(loaded.texts("#configuration-table tr"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_a_phone_in_light_and_dark(loaded: Any, scheme: str) -> None:
    loaded.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    loaded.cdp("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert loaded.run("return document.documentElement.scrollWidth") == 390, "nothing makes the page scroll sideways"
    for css in ("body", ".faint", "a", "td.tint.t10", "thead button"):
        ink, ground = loaded.run(
            "const e = document.querySelector(arguments[0]);"
            "const c = document.createElement('canvas').getContext('2d', { willReadFrequently: true });"
            "const rgb = (over, ...colours) => { c.clearRect(0, 0, 1, 1);"
            "  for (const colour of colours) { c.fillStyle = colour; c.fillRect(0, 0, 1, 1); }"
            "  return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3); };"
            "const ground = getComputedStyle(document.body).backgroundColor;"
            "return [rgb(0, getComputedStyle(e).color), rgb(0, ground, getComputedStyle(e).backgroundColor)];",
            css,
        )
        assert contrast(ink, ground) >= 4.5, (css, ink, ground)  # WCAG 2.2, level AA


def contrast(one: Sequence[int], other: Sequence[int]) -> float:
    """Contrast ratio of WCAG 2.2."""

    def luminance(color: Sequence[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in color)]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_webgl_the_page_says_so_and_shows_the_rest(open_browser: OpenBrowser, report: Path) -> None:
    browser = open_browser(webgl=False)
    browser.open(report)
    browser.wait("!document.getElementById('viewer-message').hidden")
    assert browser.texts("#viewer-message")[0].startswith("The viewer needs WebGL 2, which this browser does not have")
    assert browser.run("return document.getElementById('viewer-body').hidden")
    assert browser.texts("#classes tbody th")[0] == "S"
