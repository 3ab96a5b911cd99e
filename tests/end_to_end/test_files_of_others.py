"""What people keep in and around data, runs and output is there after every command, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite import cli
from spine_ignite.locks import lock_folder

SMALL = (
    "data.scheme=lumbar-vertebrae",
    "data.batch_size=3",
    "data.spacing=[2,2]",
    "model.width=4",
    "model.depth=2",
    "train.epochs=1",
    "threads=1",
    "log.volumes_every=1",
)
NAMES = ("notes.txt", ".hidden", "Thesis.tex", "best.pt.bak", "cases.csv.old", ".part-x", "case.json")


def scatter(*roots: Path) -> dict[Path, bytes]:
    """Write files of others into every folder below some folders, in new folders beside them, and through a link."""
    mine: dict[Path, bytes] = {}
    for root in roots:
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]:
            for place in (folder, folder / "mine"):
                place.mkdir(exist_ok=True)
                for name in NAMES:
                    path = place / name
                    if not path.exists():
                        path.write_bytes(os.urandom(8))
                        mine[path] = path.read_bytes()
    return mine


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        code = cli.run(list(words))
        return code, capsys.readouterr().err

    return run


def commands(settings: list[str]) -> list[list[str]]:
    return [
        ["check", "dataset", "--scheme", "lumbar-vertebrae"],
        ["preprocess", "dataset", *settings, "--export-nifti", "slices"],
        ["train", "--data", "dataset", "--out", "run", "--force", *settings],
        ["postprocess", "run"],
        ["evaluate", "run"],
        ["evaluate", "run", "-o", "judged"],
        ["report", "run"],
        ["export", "run"],
        ["compare", "run", "judged", "--no-cost", "--resamples", "100"],
        ["predict", "run", "dataset/test/source", "-o", "labels", "--uncertainty"],
        ["pack", "run", "-o", "logs.zip"],
    ]


def test_files_of_others_outlive_every_command(
    tiny_dataset: Path, tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    for words in commands(settings):
        code, err = command(*words)
        assert code == 0, (words, err)
    mine = scatter(*(tmp_path / name for name in ("dataset", "run", "judged", "comparison", "labels", "slices")))
    assert len(mine) > 300
    changed = tiny_dataset / "train" / "source" / "Case1.nii.gz"  # so that slices are made anew
    changed.write_bytes(
        next(tiny_dataset.glob("train/source/Case2.nii.gz")).read_bytes()
    )  # so that slices are made anew
    for words in commands(settings):
        code, err = command(*words)
        assert code == 0, (words, err)
        assert {path: path.is_file() and path.read_bytes() for path in mine} == mine, words
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith((".lock", ".part-spine"))]


@pytest.mark.parametrize(
    ("words", "lock", "what"),
    [
        (["train", "--out", "run", "--force"], "run", "run is in use"),
        (["postprocess", "run"], "run", "run is in use"),
        (["export", "run"], "run", "run is in use"),
        (["evaluate", "run"], "run/evaluation/test", "test is in use"),
        (["predict", "run", "dataset/test", "-o", "labels"], "labels", "labels is in use"),
        (["preprocess", "dataset", "--export-nifti", "slices"], "slices", "slices is in use"),
        (["phantom", "phantoms", "--train", "1", "--force"], "phantoms", "phantoms is in use"),
    ],
)
def test_two_at_once_are_refused_in_a_sentence(
    words: list[str],
    lock: str,
    what: str,
    tiny_dataset: Path,
    tmp_path: Path,
    write_run: Callable[..., Path],
    command: Callable[..., tuple[int, str]],
) -> None:
    write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    if words[0] == "train":
        for path in sorted((tmp_path / "run").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        words = [*words, "--data", "dataset", *(word for setting in SMALL for word in ("--set", setting))]
    if words[0] == "preprocess":
        words = [*words, "--set", "data.scheme=lumbar-vertebrae"]
    with lock_folder(tmp_path / lock, "works in it"):
        code, err = command(*words)
    assert (code, what in err, "Traceback" in err) == (1, True, False), err
