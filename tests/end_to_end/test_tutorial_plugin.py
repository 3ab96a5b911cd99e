"""The tutorial for plugin authors, run from top to bottom as a reader would."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-plugin.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script() -> str:
    """The page as a script of bash: what is to be run, and what is to be in files."""
    lines = ["set -euo pipefail"]
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "bash":
            lines.append(text)
        else:
            first, _, rest = text.partition("\n")
            lines.append(
                f"test -f {first.removeprefix('# ')}\ncat > {first.removeprefix('# ')} <<'THE_END'\n{rest}THE_END"
            )
    return "\n".join(lines)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A fresh environment in which pip needs no network; what we depend on comes from the running one."""
    target = tmp_path / "venv"
    venv.create(target, with_pip=True)
    packages = next((target / "lib").glob("python*")) / "site-packages"
    shared = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in shared))
    command = target / "bin" / "spine-ignite"
    command.write_text('#!/bin/sh\nexec python -m spine_ignite "$@"\n')
    command.chmod(0o755)
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    path = f"{target / 'bin'}{os.pathsep}{os.environ['PATH']}"
    core = str(PAGE.parents[1])
    python_path = os.pathsep.join(filter(None, [core, os.environ.get("PYTHONPATH")]))
    return {**os.environ, **offline, "PATH": path, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", script()], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "pocketnet-phantoms" in done.stdout
    labels, others = (sorted((work / name).glob("*.nii.gz")) for name in ("labels", "labels-of-the-hub"))
    assert [path.name for path in labels] == [path.name for path in others] == ["Case5.nii.gz", "Case6.nii.gz"]
    for one, two in zip(labels, others, strict=True):
        np.testing.assert_array_equal(*(np.asarray(nib.load(path).dataobj) for path in (one, two)))
    card = (work / "pocketnet-phantoms-hub/README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "mit"
    assert front["model-index"][0]["results"][0]["metrics"][0]["type"] == "dice"
