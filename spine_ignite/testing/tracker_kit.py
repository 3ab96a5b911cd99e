"""Everything that the core expects of a tracker."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import SpineIgniteError
from spine_ignite.phantom import write_phantoms
from spine_ignite.runs.checkpoints import read_checkpoint
from spine_ignite.testing.component_kit import ComponentConformance
from spine_ignite.testing.small_network import small_network
from spine_ignite.training.run import resume
from spine_ignite.tuning.start import train

CASES = 3


class TrackerConformance(ComponentConformance):
    """Base class of a tracker's conformance test: small runs on phantoms, with a network of the kit's own.

    Attributes:
        files: what the tracker writes into the run's folder, below it; each must be there after training, and the same
            after a run that was stopped and resumed as after one that was not.
    """

    kind: ClassVar[str] = "tracker"
    files: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def phantoms(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A dataset of three cases."""
        return _phantoms(tmp_path_factory.getbasetemp() / "phantoms-of-the-kit")

    @pytest.fixture
    def network(self) -> Iterator[str]:
        """The name of a network."""
        with small_network() as name:
            yield name

    def configure(self, data: Path, network: str, tracked: bool = True, epochs: int = 2) -> RunConfig:
        """Return the configuration of a run of some epochs, each of a step."""
        trackers = [{"name": self.name, "options": self.options}] if tracked else []
        sections: dict[str, Any] = {
            "data": {"root": str(data), "spacing": [4, 4], "size": [64, 64], "batch_size": 8, "workers": 0},
            "model": {"name": network},
            "train": {"epochs": epochs},
            "log": {"trackers": trackers, "tensorboard": False},
            "augment": {"enabled": False},
            "schedule": {"name": "constant", "warmup": 0.0},
            "device": "cpu",
        }
        return load_config(sections)

    def test_training_with_it_is_training_as_ever(self, phantoms: Path, network: str, tmp_path: Path) -> None:
        """The weights are those of a run without it, bit for bit, and its files are there."""
        said: list[str] = []
        train(self.configure(phantoms, network), tmp_path / "with", echo=said.append)
        train(self.configure(phantoms, network, tracked=False), tmp_path / "without", echo=said.append)
        one, other = (read_checkpoint(tmp_path / run / "checkpoints/last.pt")["model"] for run in ("with", "without"))
        assert all(torch.equal(one[name], other[name]) for name in other), "the tracker changes what is trained"
        for file in self.files:
            assert (tmp_path / "with" / file).is_file(), f"{file} is not written"
            assert not (tmp_path / "without" / file).exists(), f"{file} is not the tracker's"

    def test_a_run_that_goes_on_ends_as_one_that_never_stopped(
        self, phantoms: Path, network: str, tmp_path: Path
    ) -> None:
        """What it remembers is in the checkpoint, so that its files have every epoch once."""
        parts, whole = tmp_path / "parts", tmp_path / "whole"
        train(self.configure(phantoms, network), parts, echo=_unheard)
        resume(parts, ["train.epochs=3"], echo=_unheard)
        train(self.configure(phantoms, network, epochs=3), whole, echo=_unheard)
        for file in self.files:
            resumed, uninterrupted = ((run / file).read_bytes() for run in (parts, whole))
            assert resumed == uninterrupted, f"{file} of a run that was resumed differs"

    def test_a_run_that_is_refused_leaves_nothing(self, phantoms: Path, network: str, tmp_path: Path) -> None:
        """Files are opened when training starts, not before."""

        def refuse(_trainer: Any, _evaluator: Any, _run: Any) -> None:
            raise ValueError("no run today")

        with pytest.raises((SpineIgniteError, ValueError), match="no run today"):
            train(self.configure(phantoms, network), tmp_path / "run", echo=_unheard, handlers=[refuse])
        left = [path.name for path in (tmp_path / "run").rglob("*")] if (tmp_path / "run").exists() else []
        assert not left, f"a run that never started left {left}"


@cache
def _phantoms(root: Path) -> Path:
    """Write a dataset of three cases, once for all tests of a session."""
    write_phantoms(root, CASES, 0, num_slices=3)
    return root


def _unheard(_line: str) -> None:
    pass
