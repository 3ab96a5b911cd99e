"""How large the sheet of a large cohort is, and how long it takes to write it and to open it in headless Chromium.

    python benchmarks/review.py DATASET [--cases 500] [--scheme mrspineseg] [--out review.html]

The masks of DATASET stand for label volumes; they are linked under new names until there are as many as wanted.
Needs chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.labels import load_scheme
from spine_ignite.review.sheet import write_sheet
from spine_ignite.volumes.reader import volume_suffix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--scheme", default="mrspineseg")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        link_cohort(arguments.dataset, root, arguments.cases)
        out = arguments.out or root / "review.html"
        start = time.perf_counter()
        sheet = write_sheet(root / "labels", out, load_scheme(arguments.scheme), images=root / "images")
        written = time.perf_counter() - start
        print(f"{arguments.cases} cases: {sheet.megabytes:.1f} MB, written in {written:.0f} s")
        figures = [open_once(out) for _ in range(arguments.repeats)]
        for name in figures[0]:
            values = [figure[name] for figure in figures]
            print(f"{name}: median {statistics.median(values):.2f}, worst {max(values):.2f}")


def link_cohort(dataset: Path, root: Path, count: int) -> None:
    """Link cases of a dataset under new names, each with a certificate of random figures."""
    for name in ("labels", "images"):
        (root / name).mkdir()
    found, _ = find_cases(dataset)
    labelled = [case for case in found.cases if case.label is not None]
    rng = random.Random(0)
    for number, case in zip(range(count), itertools.cycle(labelled), strict=False):
        assert case.label is not None
        os.symlink(case.label.resolve(), root / "labels" / f"case{number + 1}{volume_suffix(case.label)}")
        os.symlink(case.image.resolve(), root / "images" / f"case{number + 1}{volume_suffix(case.image)}")
        column: dict[str, Any] = {
            "posterior": rng.random(),
            "verdict": rng.choice(["ask", "accepted"]),
            "risk": 0.02,
            "calibration": "uncalibrated",
            "reasons": ["the sacrum is not in the field of view"],
        }
        document = {"format": 1, "instances": [], "column": column}
        (root / "labels" / f"case{number + 1}.levels.json").write_text(json.dumps(document))


def open_once(page: Path) -> dict[str, float]:
    """Open a page in a new browser, and press a few keys in it."""
    path = Path(__file__).parents[1] / "tests" / "end_to_end" / "conftest.py"
    spec = importlib.util.spec_from_file_location("browsers", path)
    assert spec is not None
    assert spec.loader is not None
    browsers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(browsers)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([browsers.DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        browser = browsers.Browser(f"http://127.0.0.1:{port}", webgl=False)
        start = time.perf_counter()
        browser.open(page)  # returns when the page is loaded
        browser.wait("document.body.dataset.ready")
        # Two frames later something has been painted.
        browser.post(
            "execute/async", script="requestAnimationFrame(() => requestAnimationFrame(arguments[0]))", args=[]
        )
        opened = time.perf_counter() - start
        steps = []
        for key in "jjajarajn":
            before = time.perf_counter()
            actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
            browser.post("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])
            browser.post("execute/async", script="requestAnimationFrame(arguments[0])", args=[])
            steps.append(time.perf_counter() - before)
        heap = browser.run("return performance.memory.usedJSHeapSize") / 1e6
        browser.quit()
    finally:
        process.terminate()
        process.wait(30)
    return {"seconds to open": opened, "seconds for a key (worst of 9)": max(steps), "MB of script heap": heap}


if __name__ == "__main__":
    main()
