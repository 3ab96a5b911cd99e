"""The folder of a study: what lies where in it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.errors import RunError
from spine_ignite.files import guard
from spine_ignite.runs.directory import RunDirectory


def method_name(model: str, setting: str) -> str:
    """What a model under a setting is called, which is what a study compares."""
    return f"{model}-{setting}"


@dataclass(frozen=True, order=True)
class Cell:
    """One training of a study.

    Args:
        model: the model's name in the study.
        setting: the setting's.
        fold: which fold of the patients validates, from 0.
        seed: of weights, batches and augmentation.
    """

    model: str
    setting: str
    fold: int
    seed: int

    @property
    def method(self) -> str:
        """What is compared: the model under a setting."""
        return method_name(self.model, self.setting)

    @property
    def name(self) -> str:
        """Name of its run's folder."""
        return f"{self.method}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class StudyDirectory:
    """Paths in the folder of a study."""

    root: Path

    @property
    def declaration(self) -> Path:
        """What is studied, as it was declared; that it is there makes the folder a study."""
        return self.root / "study.yaml"

    @property
    def splits(self) -> Path:
        """The folds of the patients (:class:`spine_ignite.datasets.folds.Folds`), the same for all cells."""
        return self.root / "splits.json"

    @property
    def seal(self) -> Path:
        """SHA-256 of each image and mask of the test set as they were when the study was made."""
        return self.root / "sealed.json"

    @property
    def openings(self) -> Path:
        """Every opening of the test set; not there until the first."""
        return self.root / "openings.json"

    def config(self, method: str) -> Path:
        """The resolved configuration of a model under a setting, but for fold and seed."""
        return self.root / "configs" / f"{method}.yaml"

    @property
    def cells(self) -> Path:
        """The runs."""
        return self.root / "cells"

    def run(self, cell: str) -> RunDirectory:
        """The run of a cell, by its name."""
        return RunDirectory(self.cells / cell)

    def record(self, cell: str) -> Path:
        """How a cell ended: done, stopped or failed; not there before it has ended for the first time."""
        return self.root / "records" / f"{cell}.json"

    def log(self, cell: str) -> Path:
        """What the processes of a cell have printed."""
        return self.root / "logs" / f"{cell}.log"

    @property
    def slurm(self) -> Path:
        """What submitit keeps of jobs."""
        return self.root / "slurm"

    @property
    def search(self) -> Path:
        """The search for hyper-parameters, if there is one."""
        return self.root / "search"

    def report(self, split: str) -> Path:
        """Tables and figures over all cells, of the validation or the test cases."""
        return self.root / "report" / split

    @property
    def exists(self) -> bool:
        """Whether a study was made here."""
        return self.declaration.is_file()


def open_study(root: Path) -> StudyDirectory:
    """Open the folder of a study that was made.

    Raises:
        RunError: there is none in ``root``.
    """
    directory = StudyDirectory(Path(root))
    if not directory.exists:
        raise RunError(
            f"{root} is no study: it has no {directory.declaration.name}; make one with: spine-ignite study make"
        )
    guard(directory.root)
    return directory


def study_command(action: str, root: Path, *options: str) -> str:
    """Return a command on a study, as it can be typed."""
    return shlex.join(["spine-ignite", "study", action, str(root), *options])
