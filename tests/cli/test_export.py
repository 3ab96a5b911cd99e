from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite import cli

RunWriter = Callable[..., Path]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def read(path: Path) -> NDArray[Any]:
    return np.asarray(nib.load(path).dataobj)


def test_export_says_what_it_wrote_and_verified(
    tmp_path: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run")
    code, out, err = run(capsys, "export", folder)
    best = folder / "checkpoints" / "best"
    assert (code, err) == (0, "")
    assert out == (
        f"Exported: {best}.safetensors (0.0 MB), the unet of {best}.pt\n"
        "Verified: read back, its logits on a random batch of 3 x 1 x 64 x 64 are equal\n"
    )
    code, out, _ = run(capsys, "export", folder, "--checkpoint", "last", "-o", tmp_path / "a.safetensors", "--json")
    assert json.loads(out) == {
        "file": str(tmp_path / "a.safetensors"),
        "format": "safetensors",
        "checkpoint": str(folder / "checkpoints" / "last.pt"),
        "model": "unet",
        "bytes": (tmp_path / "a.safetensors").stat().st_size,
        "batch": [3, 1, 64, 64],
        "difference": 0.0,
        "levels": None,
    }


def test_an_exported_file_predicts_and_is_judged_like_its_checkpoint(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    file = tmp_path / "unet.safetensors"
    assert run(capsys, "export", folder, "-o", file)[0] == 0
    labels, dice = [], []
    for checkpoint in ("best", "last", file):
        code, text, err = run(capsys, "evaluate", folder, "--checkpoint", checkpoint, "--json")
        assert code == 0, err
        found = json.loads(text)
        dice.append(found["means"]["dice"])
        labels.append(read(folder / "predictions" / "test" / "Case5.nii.gz"))
    assert found["settings"]["checkpoint"] == "unet.safetensors"
    np.testing.assert_array_equal(labels[2], labels[0])
    assert (labels[2] != labels[1]).any()
    assert dice[2] == dice[0] != dice[1]
    scan = tiny_dataset / "test" / "source" / "Case5.nii.gz"
    code, _, err = run(capsys, "predict", folder, scan, "-o", tmp_path / "labels", "--checkpoint", file)
    assert code == 0, err
    np.testing.assert_array_equal(read(tmp_path / "labels" / "Case5.nii.gz"), labels[0])


def test_mistakes_are_told(tmp_path: Path, write_run: RunWriter, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    predict = ("predict", folder, tmp_path / "x.nii.gz", "-o", tmp_path / "out", "--checkpoint")
    for arguments, code, message in (
        (("export", tmp_path / "none"), 1, "none is not a run directory: it has no config.yaml"),
        (("export", folder, "--format", "pt"), 2, "'pt' is not one of 'safetensors', 'onnx', 'torch-export', 'hub'"),
        (("export", folder, "-o", tmp_path / "a.pt"), 2, "does not fit the format safetensors"),
        (("export", folder, "--checkpoint", "bets"), 2, "there is no checkpoint 'bets'. Did you mean 'best'?"),
        ((*predict, "bets"), 2, "checkpoints are 'best', 'last' or files, got ['bets']"),
        ((*predict, tmp_path / "bad.safetensors"), 1, "bad.safetensors cannot be read, it may be truncated or corrupt"),
        (
            (*predict, "x.safetensors", "--ensemble", folder),
            2,
            "is the checkpoint of one run; with 2 runs give best or",
        ),
    ):
        found, _, err = run(capsys, *arguments)
        assert (found, message in err) == (code, True), err
        assert len(err.strip().splitlines()) == 1 or code == 2
    assert not (tmp_path / "out").exists()
