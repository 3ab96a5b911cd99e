from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spine_ignite import cli

SCHEME = ("--set", "data.scheme=lumbar-vertebrae")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run(["preprocess", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_slices_are_counted_per_split(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, tiny_dataset, *SCHEME)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["split", "cases", "source", "label"] in rows
    assert ["train", "4", "20", "20"] in rows
    assert ["test", "2", "10", "10"] in rows
    assert "Cases: 6 built, 0 reused, 0 removed" in out
    (tiny_dataset / "test/source/Case6.nii.gz").unlink()
    (tiny_dataset / "test/label/mask_case6.nii.gz").unlink()
    code, out, _ = run(capsys, tiny_dataset, *SCHEME, "--json")
    assert json.loads(out)["cases"] == {"built": 0, "reused": 5, "removed": 1}
    assert json.loads(out)["slices"]["test"] == {"source": 5, "label": 5}


def test_equal_images_are_warned_of(tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(tiny_dataset / "train/source/Case2.nii.gz", tiny_dataset / "test/source/Case5.nii.gz")
    code, out, err = run(capsys, tiny_dataset, *SCHEME, "--json")
    assert code == 0
    assert json.loads(out)["duplicates"] == [["train/Case2", "test/Case5"]]
    assert "train/Case2, test/Case5 are the same image; a test case that is trained on" in err


def test_the_store_and_the_files_go_where_they_are_told(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, files = tmp_path / "cache", tmp_path / "files"
    arguments = (tiny_dataset, *SCHEME, "--set", f"data.cache={cache}", "--export-nifti", files, "--json")
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert json.loads(out)["store"] == str(cache)
    assert json.loads(out)["exported"] == len(list(files.rglob("*.nii.gz"))) == 60
    assert not (tiny_dataset / ".spine-ignite-cache").exists()


@pytest.mark.parametrize("name", ["2024", "1e3", "a: b", "[x]", "true"])
def test_a_folder_may_have_any_name(
    tiny_dataset: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_dataset.rename(tiny_dataset.parent / name)
    monkeypatch.chdir(tiny_dataset.parent)
    code, out, err = run(capsys, name, *SCHEME, "--json")
    assert code == 0, err
    assert json.loads(out)["cases"]["built"] == 6


def test_mistakes_are_told_in_a_sentence(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, tmp_path / "nowhere", *SCHEME)
    assert (code, out) == (1, "")
    assert "nowhere does not exist" in err
    code, _, err = run(capsys, tiny_dataset, "--set", "data.sceme=x")
    assert code == 2
    assert "scheme" in err
    (tiny_dataset / "train/source/Case1.nii.gz").write_bytes(b"x")
    code, _, err = run(capsys, tiny_dataset, *SCHEME)
    assert code == 1
    assert "Case1.nii.gz is not a readable NIfTI image" in err
    assert "Traceback" not in err
