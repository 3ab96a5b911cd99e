"""What the page may do, and what it is made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from spine_ignite.report import write_report
from spine_ignite.report.viewer import NIIVUE

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "spine_ignite" / "report" / "vendor"
WriteRun = Callable[..., Path]
ReadPage = Callable[[Path], Any]


def test_volumes_in_the_page_are_those_that_were_judged_without_what_headers_say(
    judged_run: Path, tmp_path: Path, page: Any, read_page: ReadPage
) -> None:
    shutil.copytree(judged_run.parent, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace(str(judged_run.parent), str(run.parent)))
    source = run.parent / "data" / "test" / "source" / "Case8.nii.gz"
    image = nib.load(source)
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = b"Doe, Jane"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe, Jane 1970-01-01"))
    nib.save(image, source)
    marked = read_page(write_report(run).path)
    for number, case in enumerate(("Case8", "Case5")):
        truth = {
            "image": nib.load(run.parent / "data" / "test" / "source" / f"{case}.nii.gz"),
            "reference": nib.load(run.parent / "data" / "test" / "label" / f"mask_{case}.nii.gz"),
            "prediction": nib.load(run / "predictions" / "test" / f"{case}.nii.gz"),
        }
        for what, original in truth.items():
            shown = marked.volume(f"volume-{number}-{what}")
            scale = 1 if what == "image" else 10  # labels are class indices in the page
            np.testing.assert_array_equal(scale * np.asarray(shown.dataobj), np.asarray(original.dataobj))
            np.testing.assert_allclose(shown.affine, original.affine)
            assert shown.header.get_xyzt_units()[0] == "mm"
            assert b"Doe" not in shown.to_bytes()
            assert not shown.header.extensions
    assert marked.scripts() == page.scripts()


def test_nothing_is_loaded_and_only_what_is_known_runs(page: Any) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img")
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("src", "href", "action", "srcset", "xlink:href"):
            assert re.match(r"#|data:image/png;base64,", attributes.get(name, "#")), (tag, attributes)
    (policy,) = (a["content"] for a, _ in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    assert rules.pop("default-src") == ["'none'"]
    assert rules.pop("base-uri") == rules.pop("form-action") == ["'none'"]
    assert rules.pop("img-src") == ["data:", "blob:"]

    def sources(texts: list[str]) -> list[str]:
        return [f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts]

    assert rules.pop("script-src") == sources(page.scripts())
    assert rules.pop("style-src") == sources([text for _, text in page.of("style")])
    assert not rules
    assert len(page.scripts()) == 3


def test_names_cannot_break_out_of_the_page(
    page: Any, write_judged_run: WriteRun, tmp_path: Path, read_page: ReadPage
) -> None:
    name = "</script><script>alert(1)</script>"
    case = "x'\"><img src=x onerror=alert(1)>"
    root = tmp_path / "<b>root</b>"
    run = write_judged_run(root, (case, "Case6"), (name, "{{ 7 * 7 }}", "L4", "L3", "--><!--", "]]>"))
    (run / "doctor.jsonl").write_text(json.dumps({"epoch": name, "code": name, "message": name, "advice": case}))
    (run / "environment.json").write_text(json.dumps({name: case}))
    hostile = read_page(write_report(run).path)
    assert not hostile.of("img") + hostile.of("b")
    assert hostile.scripts() == page.scripts()
    _, classes = hostile.table("classes")
    assert list(classes)[:2] == [name, "{{ 7 * 7 }}"]
    assert list(hostile.table("cases")[1]) == [case, "Case6"]
    (data,) = (json.loads(text) for attributes, text in hostile.of("script") if attributes.get("id") == "viewer-data")
    assert [entry["name"] for entry in data["classes"]][1] == name
    assert case in data["cases"][0]["title"] + data["cases"][1]["title"]


def test_niivue_is_the_file_that_its_readme_names() -> None:
    readme = (VENDOR / "README.md").read_text()
    script = (VENDOR / "niivue.umd.js").read_bytes()
    assert f"`@niivue/niivue` {NIIVUE}" in readme
    assert hashlib.sha256(script).hexdigest() in readme
    assert NIIVUE.encode() in script
    assert not re.search(rb"</script|<!--|\r", script, re.IGNORECASE), "inside a page it would not stay what it is"
    assert "Copyright (c) 2021, Niivue" in (VENDOR / "LICENSE").read_text()


def test_a_wheel_has_all_that_the_page_is_made_of(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folder = ROOT / "spine_ignite" / "report"
    for part in ("templates", "vendor"):
        for file in (folder / part).iterdir():
            assert f"spine_ignite/report/{part}/{file.name}" in names
