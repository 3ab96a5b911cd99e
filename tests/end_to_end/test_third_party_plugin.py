"""A person we never met packages an architecture, installs it, sees it and trains with it."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-spine-nets"
version = "2.5"
dependencies = ["spine-ignite"]

[project.entry-points."spine_ignite"]
acme = "acme_spine_nets"

[tool.hatch.build.targets.wheel]
packages = ["acme_spine_nets"]
"""

ENTRY = """
from pydantic import Field
from spine_ignite.hookspecs import hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class Options(ModelOptions):
    width: int = Field(8, ge=1, description="channels")


@hookimpl
def register_models(register):
    paper = Paper("Acme nets", "A. Cme", "Journal of Acme", 2026, "https://example.org", "acme2026")
    register(ModelSpec("acmenet", "acme_spine_nets.net:AcmeNet", "Two convolutions", paper, Options))
"""

NETWORK = """
from torch import nn


class AcmeNet(nn.Sequential):
    def __init__(self, in_channels, num_classes, width):
        super().__init__(
            nn.Conv2d(in_channels, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, num_classes, 5, padding=2)
        )
"""

CONFORMANCE = """
from spine_ignite.testing import ModelConformance

class TestAcme(ModelConformance):
    model = "acmenet"
    learn_steps = 1500
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the plugin installed by pip; what we depend on comes from the running environment."""
    root = tmp_path_factory.mktemp("third_party")
    source = root / "acme"
    package = source / "acme_spine_nets"
    package.mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text(ENTRY)
    (package / "net.py").write_text(NETWORK)
    target = root / "venv"
    venv.create(target, with_pip=True)
    python = target / "bin" / "python"
    packages = next((target / "lib").glob("python*")) / "site-packages"
    shared = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in shared))
    command = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", source]
    subprocess.run([str(part) for part in command], check=True)
    return target


def spine_ignite(environment: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(environment / "bin" / "python"), "-m", "spine_ignite", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_it_is_listed_shown_and_trained(environment: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    listed = spine_ignite(environment, "list-models")
    assert listed.returncode == 0, listed.stderr
    assert "acmenet" in listed.stdout
    assert "acme-spine-nets 2.5" in listed.stdout
    assert "unet" in listed.stdout
    run = tmp_path / "run"
    options = ("data.scheme=lumbar-vertebrae", "train.epochs=1", "data.batch_size=3", "model.width=4")
    sets = [part for option in options for part in ("--set", option)]
    trained = spine_ignite(environment, "train", "--model", "acmenet", "--data", tiny_dataset, "--out", run, *sets)
    assert trained.returncode == 0, trained.stderr
    assert "acmenet" in trained.stdout
    predicted = spine_ignite(environment, "predict", run, tiny_dataset, "-o", tmp_path / "labels")
    assert predicted.returncode == 0, predicted.stderr
    assert len(list((tmp_path / "labels").glob("*.nii.gz"))) == 2


def test_the_conformance_kit_runs_in_three_lines(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "test_acme.py").write_text(CONFORMANCE)
    command = [str(environment / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not learns"]
    result = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout
