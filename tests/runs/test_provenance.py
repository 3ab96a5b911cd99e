"""A run is resolved by the distributions that it was made with, whatever is installed or uninstalled afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spine_ignite.config import load_config
from spine_ignite.errors import RunError, SpineIgniteError, UsageError
from spine_ignite.inference.predict_files import predict
from spine_ignite.registry import load_registry
from spine_ignite.runs.checkpoints import load_network, read_checkpoint
from spine_ignite.training.run import resume, train

Install = Callable[..., Path]

ACME = """
import torch
from spine_ignite.hookspecs import hookimpl
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.spec import Component, ModelOptions, ModelSpec, Paper

WHO = "{who}"

class Tiny(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.layer = torch.nn.Conv2d(in_channels, num_classes, {kernel}, padding="same")
    def forward(self, x):
        return self.layer(x)

def half(t):
    return 0.5

def mark(indices, affine, scheme):
    return Cleaned(indices, "done by {who}")

PAPER = Paper("Title", "A. Author", "Venue", 2020, "https://example.org", "author2020")

@hookimpl
def register_models(register):
    register(ModelSpec("tiny", __name__ + ":Tiny", "tiny", PAPER))

@hookimpl
def register_schedules(register):
    register(Component("half", __name__ + ":half", "half"))

@hookimpl
def register_cleanup_steps(register):
    register(Component("mark", __name__ + ":mark", "mark"))
"""


def quiet(_line: str) -> None:
    """Say nothing."""


@pytest.fixture
def acme(install: Install) -> Path:
    return install("acme", ACME.format(who="acme", kernel=3), version="2.1")


@pytest.fixture
def run(acme: Path, tiny_dataset: Path, tmp_path: Path) -> Path:
    keys = ("model.name=tiny", "schedule.name=half", "predict.postprocess=[mark]", "train.epochs=1")
    small = ("data.scheme=lumbar-vertebrae", "data.batch_size=4", "threads=1", "log.tensorboard=false")
    config = load_config(None, [f"data.root={tiny_dataset}", *keys, *small])
    return train(config, tmp_path / "run", echo=quiet).directory


def test_a_run_records_where_everything_is_from(run: Path) -> None:
    recorded = json.loads((run / "environment.json").read_text())
    assert recorded["plugin"] == "acme 2.1"
    components = recorded["components"]
    for key in ("model tiny", "schedule half", "cleanup-step mark"):
        assert components[key] == "acme 2.1"
    for key in (
        "loss dice_ce",
        "optimizer adamw",
        "label-scheme lumbar-vertebrae",
        "reader nifti",
        "layout mrspineseg",
    ):
        assert components[key] == "spine-ignite 0.1.0"
    assert read_checkpoint(run / "checkpoints/last.pt")["description"]["plugin"] == "acme 2.1"


def test_strangers_of_the_same_names_change_nothing_for_an_old_run(
    run: Path, install: Install, tiny_dataset: Path, tmp_path: Path
) -> None:
    image = next((tiny_dataset / "test/source").iterdir())
    before = predict(run, [(image, tmp_path / "before/a.nii.gz")])
    install("stranger", ACME.format(who="stranger", kernel=1))
    with pytest.raises(UsageError, match="registered by both acme 2.1 and stranger 1.0"):
        load_registry().find("tiny")  # as ever for what is new
    after = predict(run, [(image, tmp_path / "after/a.nii.gz")])
    assert [result.error for result in (*before, *after)] == [None, None]
    assert after[0].note == before[0].note == "done by acme"
    assert (tmp_path / "before/a.nii.gz").read_bytes() == (tmp_path / "after/a.nii.gz").read_bytes()
    assert resume(run, ["train.epochs=2"], echo=quiet).epochs == 2
    weights = load_network(run / "checkpoints/last.pt").network.state_dict()
    assert weights["layer.weight"].shape[-1] == 3
    assert torch.isfinite(weights["layer.weight"]).all()


def test_another_version_is_told_when_a_run_goes_on(run: Path, acme: Path) -> None:
    info = next(acme.glob("*.dist-info"))
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("2.1", "2.2"))
    info.rename(info.with_name("acme-2.2.dist-info"))
    load_registry.cache_clear()
    said: list[str] = []
    assert resume(run, ["train.epochs=2"], echo=said.append).epochs == 2
    sentence = "acme 2.1 is 2.2 now: what follows may differ from what the run would have become"
    assert [line for line in said if line.startswith("Warning")] == [f"Warning:   {sentence}"]


def test_what_is_uninstalled_is_named_with_its_version(
    run: Path, acme: Path, install: Install, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.rmtree(acme)
    install("stranger", ACME.format(who="stranger", kernel=1))
    image = next((tiny_dataset / "test/source").iterdir())
    again = "was that of acme 2.1, which is not installed, or has it no more; install that version again"
    with pytest.raises(RunError, match=f"model 'tiny' {again}"):
        predict(run, [(image, tmp_path / "a.nii.gz")])
    with pytest.raises(SpineIgniteError, match=again):
        resume(run, ["train.epochs=2"], echo=quiet)
    assert load_config(run / "config.yaml").model.name == "tiny", "what needs no plugin can still be read"
