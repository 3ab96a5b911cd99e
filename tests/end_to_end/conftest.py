"""A browser, driven through W3C WebDriver."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id in the standard


class Browser:
    """A session of a browser."""

    def __init__(self, server: str, webgl: bool = True) -> None:
        gl = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"] if webgl else ["--disable-3d-apis"]
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,700", *gl],
            "binary": CHROMIUM,
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self.session = server
        self.session = f"{server}/session/{self.post('session', capabilities={'alwaysMatch': wanted})['sessionId']}"

    def request(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.session}/{path}".rstrip("/"), data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def post(self, path: str, **body: Any) -> Any:
        return self.request("POST", path, body)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.post("execute/sync", script=script, args=list(arguments))

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.post("goog/cdp/execute", cmd=command, params=parameters)

    def element(self, css: str) -> str:
        found: str = self.post("element", using="css selector", value=css)[ELEMENT]
        return found

    def click(self, css: str) -> None:
        self.post(f"element/{self.element(css)}/click")

    def press(self, css: str, keys: str) -> None:
        self.post(f"element/{self.element(css)}/value", text=keys)

    def wheel(self, css: str, amount: int) -> None:
        action = {
            "type": "scroll",
            "x": 0,
            "y": 0,
            "deltaX": 0,
            "deltaY": amount,
            "origin": {ELEMENT: self.element(css)},
        }
        self.post("actions", actions=[{"type": "wheel", "id": "wheel", "actions": [action]}])

    def click_at(self, css: str, x: int, y: int) -> None:
        """Click ``x`` and ``y`` pixels beside the middle of an element."""
        where = {"type": "pointerMove", "x": x, "y": y, "origin": {ELEMENT: self.element(css)}}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.post("actions", actions=[{"type": "pointer", "id": "mouse", "actions": [where, *press]}])

    def picture(self, css: str) -> bytes:
        return base64.b64decode(self.request("GET", f"element/{self.element(css)}/screenshot"))

    def texts(self, css: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", css
        )
        return found

    def log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.post("se/log", type=kind)
        return found

    def wait(self, script: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.05)

    def open(self, page: Path) -> None:
        self.post("url", url=page.as_uri())

    def quit(self) -> None:
        self.request("DELETE", "")


@pytest.fixture(scope="module")
def driver() -> Iterator[str]:
    """The address of a chromedriver."""
    if CHROMIUM is None or DRIVER is None:
        reason = "needs chromium and chromedriver (Debian: chromium chromium-driver)"
        if os.environ.get("REQUIRE_BROWSER"):  # CI installs them
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{server}/status", timeout=5) as answer:
                    if json.load(answer)["value"]["ready"]:
                        break
            except OSError:
                assert process.poll() is None, "chromedriver ended"
                assert time.monotonic() < end, "chromedriver did not start"
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def open_browser(driver: str) -> Iterator[Callable[..., Browser]]:
    """``open_browser(webgl=True)`` starts a headless Chromium."""
    browsers: list[Browser] = []

    def start(webgl: bool = True) -> Browser:
        browsers.append(Browser(driver, webgl))
        return browsers[-1]

    yield start
    for browser in browsers:
        browser.quit()
