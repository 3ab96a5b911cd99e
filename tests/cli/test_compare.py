from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spine_ignite import cli

Writer = Callable[..., Path]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, write_volume: Writer) -> Path:
    """Folders ``sharp``, ``blunt`` and ``other``: predictions of 7 cases, judged; ``other`` by other masks."""
    root = tmp_path_factory.mktemp("judged")
    for case in range(1, 8):
        mask = np.zeros((20, 30, 3), np.uint8)
        for k, value in enumerate((2, 3, 4)):
            mask[4:14, 2 + 9 * k : 9 + 9 * k] = value
        write_volume(root / "masks" / f"mask_case{case}.nii.gz", mask)
        write_volume(root / "other_masks" / f"mask_case{case}.nii.gz", np.roll(mask, case == 3, axis=0))
        for name, step in (("sharp", 1), ("blunt", 2)):
            shifted = np.roll(mask, step, axis=0)
            shifted[:case] = 0
            write_volume(root / f"{name}_labels" / f"Case{case}.nii.gz", shifted)
    for name, masks in (("sharp", "masks"), ("blunt", "masks"), ("other", "other_masks")):
        labels = root / f"{'sharp' if name == 'other' else name}_labels"
        arguments = [
            "--predictions",
            labels,
            "--labels",
            root / masks,
            "--scheme",
            "lumbar-vertebrae",
            "-o",
            root / name,
        ]
        assert cli.run(["evaluate", *map(str, arguments)]) == 0
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_compare_prints_the_table_and_writes_the_files(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(
        capsys, judged / "sharp", judged / "blunt", "-o", tmp_path / "out", "--names", "Sharp,Blunt", "--resamples", 200
    )
    assert (code, err) == (0, "")
    assert "2 runs on 7 cases" in out
    assert "Params" not in out, "label volumes have no network"
    order = [
        line.split()[1] for line in out.split("Ranking by Dice per case")[1].splitlines() if line[2:4] in ("1 ", "2 ")
    ]
    assert order == ["Sharp", "Blunt"]
    assert f"Tables and figures: {tmp_path / 'out'}" in out
    assert (tmp_path / "out" / "comparison.md").is_file()
    assert (tmp_path / "out" / "critical_difference.pdf").is_file()


def test_compare_prints_json(judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [judged / "sharp", judged / "blunt", "-o", tmp_path, "--resamples", 200, "--measure", "hd95", "--json"]
    code, out, _ = run(capsys, *arguments)
    found = json.loads(out)
    assert code == 0
    assert found == json.loads((tmp_path / "comparison.json").read_text())
    assert found["order"] == ["sharp", "blunt"]
    assert found["measure"] == "hd95"
    (pair,) = found["pairs"]
    assert (pair["cases"], pair["second_better"]) == (7, 0)
    assert pair["p"] == pytest.approx(2.0 ** (1 - pair["first_better"])), "all differences that there are have one sign"
    assert run(capsys, *arguments)[1] == out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sharp"], 2, "compare needs at least two runs"),
        (["sharp", "sharp"], 2, "are the same evaluation; give each run once"),
        (["sharp", "other"], 1, "their reference masks differ in case '3'; evaluate both by the same masks"),
        (["sharp", "masks"], 1, "is neither a run directory"),
        (
            ["sharp", "blunt", "--measure", "dize"],
            2,
            "runs cannot be ranked by 'dize'. Did you mean 'dice'? Choose one of dice, iou",
        ),
        (["sharp", "blunt", "--names", "a"], 2, "--names must give one name for each of the 2 runs, got 1"),
    ],
)
def test_what_cannot_be_compared_is_told_and_nothing_written(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    paths = [judged / argument if (judged / argument).exists() else argument for argument in arguments]
    found, _, err = run(capsys, *paths, "-o", tmp_path / "out")
    assert (found, message in err) == (code, True), err
    assert not (tmp_path / "out").exists()
