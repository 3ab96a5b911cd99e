from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite import cli


def test_it_says_what_it_wrote(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "Dataset001_Tiny"
    words = ["convert", str(tiny_dataset), str(raw), "--to", "nnunet", "--masks", "lumbar-vertebrae"]
    assert cli.run(words) == 0
    cases = "4 train, 2 test cases in the layout nnunet"
    assert capsys.readouterr().out == f"{raw}: {cases}, from {tiny_dataset} (mrspineseg)\n"
    assert cli.run([*words, "--json", "--scheme", "spine"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["from"], said["to"], said["splits"]) == ("mrspineseg", "nnunet", 0)
    assert said["cases"] == {"train": 4, "test": 2}
    assert said["scheme"]["name"] == "spine"
    assert "canal" in said["notes"][-1], "which nothing in the source labels"


def test_mistakes_are_told_in_one_sentence(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code, message in (
        (["--to", "nifti"], 2, "there is no layout 'nifti' to write. Layouts: nnunet, mrspineseg, bids, monai"),
        (["--to", "nnunet", "--from", "bids"], 1, "is not in the layout 'bids': BIDS"),
        (["--to", "nnunet", "--masks", "nothing"], 2, "nothing"),
    ):
        assert cli.run(["convert", str(tiny_dataset), str(tmp_path / "new"), *words]) == code
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()
