"""Files, runs and classes with names that are made to do something to whoever shows them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spine_ignite import cli
from spine_ignite.errors import UsageError
from spine_ignite.evaluation.case_pictures import write_picture
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.volumes.volume import Volume

NAMES = [
    "=1+1",
    "$\\frac{$",
    "a|b",
    "[red]x",
    "_first",
    "-rf",
    "&lt;b&gt;<b>",
    "@SUM(A1)",
    "100 % {x} `y` :boom:",
]
UNPRINTABLE = ["\u202egnp", "a\nb", "\x1b[31mred", "\x9b31m", "t\tt", "\udcff"]

Writer = Callable[..., Path]


@pytest.fixture
def walk(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``walk(code, "check", …)`` runs a command and returns what it prints, which is plain lines."""

    def run(code: int, *arguments: object) -> str:
        found = cli.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert found == code, out + err
        for line in (out + err).split("\n"):
            assert line.isprintable(), ascii(line)
        assert "Traceback" not in err
        assert "--debug for the traceback" not in err
        return out + err

    return run


def require_plain_tables(folder: Path) -> int:
    """Return the number of cells in the tables of a folder, none of which a spreadsheet computes."""
    cells = 0
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                cells += 1
                assert cell.isprintable()
                try:
                    float(cell or 0)
                except ValueError:
                    assert cell[0] not in "=+-@\t\r", (path, cell)
    return cells


def volume_and_label(number: int) -> tuple[np.ndarray, np.ndarray]:
    label = np.zeros((32, 40, 3), np.uint8)
    for place, value in enumerate((2, 3, 4)):
        label[8:24, 4 + 12 * place : 12 + 12 * place, 1] = value
    image = 100 * (label > 0) + np.random.default_rng(number).normal(0, 5, label.shape) + 20 * label
    return image.astype(np.int16), label


def test_a_dataset_is_checked_and_predicted(
    tmp_path: Path, write_volume: Writer, write_run: Writer, walk: Callable[..., str]
) -> None:
    data, folder = tmp_path / "data", tmp_path / "mixed"
    for number, name in enumerate(NAMES):
        image, label = volume_and_label(number)
        write_volume(data / "train" / "source" / f"{name}.nii.gz", image)
        write_volume(data / "train" / "label" / f"mask_{name}.nii.gz", label)
    assert "No problems." in walk(0, "check", data, "--scheme", "lumbar-vertebrae")
    shutil.copytree(data / "train" / "source", folder)
    image, _ = volume_and_label(9)
    plain = write_volume(tmp_path / "plain.nii.gz", image)
    for name in UNPRINTABLE:
        shutil.copy(plain, folder / f"{name}.nii.gz")
        shutil.copy(plain, data / "train" / "source" / f"{name}.nii.gz")
    said = walk(1, "check", data, "--scheme", "lumbar-vertebrae")
    assert said.count("rename it") >= len(UNPRINTABLE)
    walk(1, "check", data, "--scheme", "lumbar-vertebrae", "--json")
    run = write_run(tmp_path / "run")
    walk(0, "predict", run, folder, "-o", tmp_path / "labels", "--postprocess", "components")
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == len(NAMES) + len(UNPRINTABLE)
    shutil.rmtree(tmp_path / "labels")
    shutil.copy(tmp_path / "run" / "config.yaml", folder / "not a volume\x1b.nii.gz")
    said = walk(1, "predict", run, folder, "-o", tmp_path / "labels", "--json")
    assert "not a volume\\u001b.nii.gz" in said or "not a volume\\x1b.nii.gz" in said


def test_predictions_are_judged_and_compared(tmp_path: Path, write_volume: Writer, walk: Callable[..., str]) -> None:
    for number, name in enumerate(NAMES):
        _, label = volume_and_label(number)
        write_volume(tmp_path / "labels" / f"mask_{name}.nii.gz", label)
        for shift, tool in enumerate(("one", "two")):
            write_volume(tmp_path / tool / f"{name}.nii.gz", np.roll(label, shift + number % 2, 0))
    for tool in ("one", "two"):
        arguments = ("--predictions", tmp_path / tool, "--labels", tmp_path / "labels", "--scheme", "lumbar-vertebrae")
        walk(0, "evaluate", *arguments, "-o", tmp_path / f"judged\x1b[31m_{tool}")
    judged = [tmp_path / f"judged\x1b[31m_{tool}" for tool in ("one", "two")]
    assert {case.case for case in read_tables(judged[0]).cases} == set(map(str.lower, NAMES))
    assert require_plain_tables(judged[0]) > 100
    said = walk(0, "compare", *judged, "-o", tmp_path / "by folder", "--resamples", 100)
    assert "judged\\x1b[31m_one" in said
    out, names = tmp_path / "comparison", "_x$,\u202eb=\x1b[31m|<b>"
    walk(0, "compare", *judged, "-o", out, "--names", names, "--resamples", 100, "--json")
    assert require_plain_tables(out) > 50
    assert all(line.isprintable() for line in (out / "comparison.md").read_text(encoding="utf-8").split("\n"))
    record = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert {run["name"] for run in record["runs"]} == {"_x$", "\\u202eb=\\x1b[31m|<b>"}


def test_a_run_is_reported(tmp_path: Path, write_judged_run: Callable[..., Path], walk: Callable[..., str]) -> None:
    run = write_judged_run(tmp_path, cases=NAMES[:4], names=NAMES[:6])
    said = walk(0, "report", run)
    assert "Report: " in said
    environment = json.loads((run / "environment.json").read_text()) if (run / "environment.json").is_file() else {}
    (run / "environment.json").write_text(json.dumps(environment | {"plugin": "\ud800\u202e<b>\x1b[31m"}))
    walk(0, "report", run, "-o", tmp_path / "again.html")
    page = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert "\\ud800\\u202e&lt;b&gt;\\x1b[31m" in page
    assert all(line.replace("\t", "").isprintable() for line in page.split("<script>")[0].split("\n"))


def test_pictures_of_evil_names_are_drawn(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    classes = [{"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]}]
    classes += [{"value": n, "name": name, "kind": "other", "color": [9, 9, 9]} for n, name in enumerate(NAMES, 1)]
    scheme = LabelScheme.from_dict({"name": "$x$", "classes": classes})
    label = np.arange(10 * 20 * 2).reshape(10, 20, 2).astype(np.uint8) % 10
    volume = Volume(label.astype(np.float32), np.diag([1.0, 1.0, 4.0, 1.0]), tmp_path / "x.nii")
    for name in NAMES[:2]:
        write_picture(tmp_path / f"{name}.png", volume, label, label, scheme, 1.0)
        assert (tmp_path / f"{name}.png").is_file()
    assert not [warning for warning in recwarn if "legend" in str(warning.message)]


@pytest.mark.parametrize("name", [*UNPRINTABLE, "", " ", "x" * 101])
def test_a_scheme_names_its_classes_in_printable_text(name: str) -> None:
    plain = load_scheme("lumbar-vertebrae").to_dict()
    plain["classes"][2]["name"] = name
    with pytest.raises(UsageError, match="a name must be a printable text of 1 to 100 characters"):
        LabelScheme.from_dict(plain)


def test_a_mistake_in_the_command_line_is_told_in_plain_lines(walk: Callable[..., str]) -> None:
    for arguments in (
        ["\x1b[31m"],
        ["train", "--\x1b[31m"],
        ["predict", "--batch-size", "\x9b"],
        ["show-model", "\u202e"],
    ):
        walk(2, *arguments)
