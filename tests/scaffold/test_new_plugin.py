"""What ``new-plugin`` writes is a plugin: it installs, passes its tests and the linters, and is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite import cli
from spine_ignite.errors import RunError, UsageError
from spine_ignite.scaffold.new_plugin import KINDS, TEMPLATES, new_plugin
from spine_ignite.scaffold.plugin_names import name_plugin

NAMES = {"acme-{}", "spine-ignite-with-a-long-name-{}", "x-{}"}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of each kind, under the shortest and the longest names too."""
    root = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        for number, name in enumerate(sorted(NAMES)):
            new_plugin(name.format(kind), kind, root / f"{number}-{kind}", suffix=f".x{number}", author='"A" \\ B')
    return root


@pytest.fixture(scope="module")
def run(written: Path) -> Run:
    """``run("-m", "pytest")`` runs Python beside the six of the first name, installed by pip."""
    target = written / "site-packages"
    sources = [written / f"0-{kind}" for kind in KINDS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--target", target)
    command = [sys.executable, "-m", "pip", "install", *options, *sources]
    subprocess.run([str(part) for part in command], check=True, env=environment)
    environment["PYTHONPATH"] = f"{target}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def python(*arguments: object, cwd: Path = written) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)

    return python


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("model",), KINDS[1:]], ids=["model", "components"])
def test_it_passes_its_tests_as_it_is(run: Run, written: Path, kinds: tuple[str, ...]) -> None:
    """The model's alone in its folder; those of components in one process, since each would import torch first."""
    first, *others = (written / f"0-{kind}" for kind in kinds)
    done = run("-m", "pytest", "-v", "-p", "no:cacheprovider", "tests", *(path / "tests" for path in others), cwd=first)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in kinds:
        assert f"test_acme_{kind}.py::TestAcme{kind.capitalize()}::" in done.stdout


def test_all_are_installed_and_listed(run: Run) -> None:
    models = json.loads(run("-m", "spine_ignite", "list-models", "--json").stdout)
    assert "acme_model" in json.dumps(models)
    components = run("-m", "spine_ignite", "list-components", "--json").stdout
    for kind in KINDS[1:]:
        assert f'"acme-{kind}"' in components, kind
    assert "acme-command" in run("-m", "spine_ignite", "--help").stdout


@pytest.mark.slow
def test_ruff_and_mypy_find_nothing(written: Path) -> None:
    def quiet(*command: object) -> None:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, cwd=written)
        assert done.returncode == 0, done.stdout + done.stderr

    folders = sorted(written.glob("[0-9]-*"))
    assert len(folders) == len(KINDS) * len(NAMES)
    quiet(sys.executable, "-m", "ruff", "check", "--no-cache", *folders)
    quiet(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *folders)
    configuration = folders[0] / "pyproject.toml"
    sources = [folder / "src" for folder in folders if folder.name.startswith("0")]
    quiet(sys.executable, "-m", "mypy", "--config-file", configuration, "--cache-dir", written / "cache", *sources)


def test_every_template_is_used(written: Path) -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == {"distribution", *KINDS}
    for kind in KINDS:
        text = "".join(p.read_text(encoding="utf-8") for p in (written / f"0-{kind}").rglob("*") if p.is_file())
        assert "{{" not in text
        assert "{%" not in text
        assert "Copyright (c) 20" in text


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("my net", "model", "'my net' cannot name a distribution: use at most 40 letters"),
        ("../escape", "model", "cannot name a distribution"),
        ("a" * 41, "model", "cannot name a distribution"),
        ("-net", "model", "cannot name a distribution"),
        ("3dnet", "model", "'3dnet' does not begin with a letter"),
        ("spine-ignite-3d", "loss", "'3d' does not begin with a letter"),
        ("json", "loss", "'json' is a word or module of Python's"),
        ("class", "loss", "'class' is a word or module of Python's"),
        ("none", "model", "its code uses 'None', which its class would be called, for something else"),
        ("spine-ignite-true", "loss", "its code uses 'True'"),
        ("tensor", "model", "its code uses 'Tensor'"),
        ("model", "model", "its code uses 'ModelOptions'"),
        ("spine-ignite-data-error", "reader", "its code uses 'DataError'"),
        ("numpy", "loss", "there is a module 'numpy' already"),
        ("spine_ignite.UNet", "model", "module 'spine_ignite_unet' already"),
        ("pytorch-ignite", "loss", "'pytorch-ignite' is installed already, version "),
        ("unet", "model", "there is a model 'unet' already, of spine-ignite-unet 0.1.0; choose another name"),
        ("annnet", "model", "there is a model 'annnet' already, of spine-ignite-ann"),
        ("dice", "loss", "there is a loss 'dice' already, of spine-ignite 0."),
        ("predict", "command", "there is a command 'predict' already"),
        ("lab-net", "optimiser", "there is no template for 'optimiser'; kinds: model, loss, metric"),
    ],
)
def test_names_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        new_plugin(name, kind)
    assert sentence in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_class_is_called_as_what_the_templates_import() -> None:
    imports = re.compile(r"^ *from [\w.]+ import (.+)$", re.MULTILINE)
    texts = [path.read_text() for path in TEMPLATES.rglob("*.py.jinja")]
    words = {word for text in texts for names in imports.findall(text) for word in names.split(", ")}
    classes = {word for word in words if re.fullmatch("([A-Z][a-z]+)+", word)}
    assert len(classes) > 20
    for word in classes:
        with pytest.raises(UsageError, match=f"'{word}'"):
            name_plugin("spine-ignite-" + re.sub("(?<=[a-z])(?=[A-Z])", "-", word), "loss")


def test_folders_and_endings_that_are_taken_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(RunError, match="there exists already; choose another place, or remove it"):
        new_plugin("lab-net", "model", tmp_path / "there")
    with pytest.raises(UsageError, match=".nii.gz files are read by 'nifti' of spine-ignite"):
        new_plugin("lab-volumes", "reader", tmp_path / "reader", suffix=".nii.gz")
    with pytest.raises(UsageError, match="'npz' is no ending of files: write it as .npz"):
        new_plugin("lab-volumes", "reader", tmp_path / "reader", suffix="npz")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="cannot be written"):
        new_plugin("lab-net", "model", tmp_path / "file" / "net")
    assert cli.run(["new-plugin", "lab-net"]) == 2
    assert "Missing option '--kind'" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_the_command_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["new-plugin", "Spine_Ignite.LabNet", "--kind", "model", "--author", "A. Author"]) == 0
    said = capsys.readouterr().out
    assert "the model 'labnet' as the distribution spine-ignite-labnet" in said
    assert "cd spine-ignite-labnet && pip install -e '.[test]' && pytest" in said
    assert "A. Author" in (tmp_path / "spine-ignite-labnet/LICENSE").read_text()
    assert cli.run(["new-plugin", "lab-loss", "--kind", "loss", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["package"] == "lab_loss"
    assert "src/lab_loss/py.typed" in told["files"]
