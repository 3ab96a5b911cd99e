"""The actions on a study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from spine_ignite import cli
from spine_ignite.cli.study import ACTIONS


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_an_example_and_speaks_to_programs(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", action, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"  spine-ignite study {action}" in shown.split("Example", 1)[1]
    assert "--json" in shown


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from spine_ignite import cli; code = [cli.run(['study', *a, '--help']) for a in ([], ['run'])]; "
        "heavy = {'torch', 'numpy', 'ignite', 'pydantic'} & set(sys.modules); assert code == [0, 0] and not heavy, "
        "heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_study_is_named_by_its_file_or_its_folder(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = {"models": ["enet"], "folds": 2, "data": "dataset", "set": {"data.scheme": "lumbar-vertebrae"}}
    Path("tiny.yaml").write_text(yaml.safe_dump(declared))
    assert cli.run(["study", "make", "tiny.yaml", "--json"]) == 0
    cells = ["enet-base-fold0-seed0", "enet-base-fold1-seed0"]
    assert json.loads(capsys.readouterr().out) == {"study": "tiny", "cells": cells}
    for name in ("tiny", "tiny.yaml", os.path.join("tiny", "study.yaml")):
        assert cli.run(["study", "status", name, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(cell["cell"], cell["state"]) for cell in found["cells"]] == [(cell, "waiting") for cell in cells]
    assert cli.run(["study", "status", "tiny.yaml"]) == 0
    assert "2 cells: 2 waiting" in capsys.readouterr().out
    assert cli.run(["study", "status", "nowhere"]) == 1
    assert "nowhere is no study" in capsys.readouterr().err
    assert cli.run(["study", "run", "tiny", "--out", "other"]) == 2
    assert "--out is for a file that declares a study" in capsys.readouterr().err
    assert cli.run(["study", "submit", "tiny", "--slurm", "gpu"]) == 2
    assert "--slurm gpu must look like KEY=VALUE" in capsys.readouterr().err
