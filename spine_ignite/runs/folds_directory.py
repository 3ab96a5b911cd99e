"""The directory of a cross-validation: its files, and which of its folds are trained."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import RunError
from spine_ignite.files import guard, write_text
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.volumes.digests import file_sha256


@dataclass(frozen=True)
class FoldsDirectory:
    """Paths in the directory of a cross-validation; each fold is a run directory in it."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration of all folds; that it is there makes the directory a cross-validation."""
        return self.root / "cross-validation.yaml"

    @property
    def splits(self) -> Path:
        """The training cases, and which fold holds out which; made when it begins, and only read from then on."""
        return self.root / "splits.json"

    @property
    def trained(self) -> Path:
        """Which folds are trained, with the SHA-256 of their best networks."""
        return self.root / "trained.json"

    @property
    def out_of_fold(self) -> Path:
        """A label volume of each training case, by the network that has not seen its patient."""
        return self.root / "out-of-fold"

    @property
    def tables(self) -> Path:
        """What these are worth, as the tables of an evaluation."""
        return self.root / "evaluation" / "out-of-fold"

    @property
    def result(self) -> Path:
        """Means and spread over folds; written last, so that what is beside it is whole."""
        return self.root / "result.json"

    @property
    def calibration(self) -> Path:
        """Columns whose levels were named out of fold, and which of them are right."""
        return self.root / "calibration.json"

    @property
    def suspects(self) -> Path:
        """The training cases as a table, those first whose masks are to be looked at."""
        return self.root / "suspects.csv"

    @property
    def pictures(self) -> Path:
        """Pictures of the first of them."""
        return self.root / "suspects"

    @property
    def page(self) -> Path:
        """Table and pictures as one page."""
        return self.root / "suspects.html"

    def log(self, number: int) -> Path:
        """What the process of a fold has printed, where folds are trained by processes of their own."""
        return self.root / "logs" / f"fold{number}.log"

    @property
    def slurm(self) -> Path:
        """What submitit keeps of jobs."""
        return self.root / "slurm"

    def fold(self, number: int) -> RunDirectory:
        """The run of a fold, numbered from 0."""
        return RunDirectory(self.root / f"fold{number}")

    @property
    def exists(self) -> bool:
        """Whether a cross-validation is planned here."""
        return self.config.is_file()

    @property
    def has_begun(self) -> bool:
        """Whether a fold of it was begun."""
        return self.exists and any(self.root.glob("fold*/config.yaml"))

    def trained_folds(self) -> dict[int, str]:
        """The folds that have come to their end, with the SHA-256 of their best network's file then.

        Raises:
            RunError: the record is damaged, or a network is gone or another one by now.
        """
        if not self.trained.is_file():
            return {}
        try:
            text = json.loads(self.trained.read_text(encoding="utf-8"))
            known = {int(number): str(weights) for number, weights in text["weights"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                f"{self.trained} cannot be read ({type(error).__name__}); remove it, and go on with: "
                f"{cross_validate_command(self.root)}"
            ) from error
        for number, weights in known.items():
            best = self.fold(number).best
            if not best.is_file() or file_sha256(best) != weights:
                what = "another network than when its training ended" if best.is_file() else "gone"
                raise RunError(
                    f"{best} is {what}; restore it, or remove fold {number} ({best.parent.parent}) and its line in "
                    f"{self.trained} to train it again"
                )
        return known

    def add_trained(self, number: int) -> None:
        """Record that a fold has come to its end."""
        known = self.trained_folds() | {number: file_sha256(self.fold(number).best)}
        write_text(self.trained, json.dumps({"weights": dict(sorted(known.items()))}, indent=1) + "\n")

    def runs(self) -> list[RunDirectory]:
        """The runs of all folds.

        Raises:
            RunError: some are not trained to their end, or have changed since.
        """
        count, trained = len(read_folds(self.splits).folds), self.trained_folds()
        if len(trained) < count:
            raise RunError(
                f"{self.root} is a cross-validation of {count} folds, of which {len(trained)} are trained; go on with: "
                f"{cross_validate_command(self.root)}"
            )
        return [self.fold(number) for number in range(count)]


def open_folds_directory(root: Path) -> FoldsDirectory:
    """Open the directory of an existing cross-validation.

    Raises:
        RunError: there is none in ``root``.
    """
    directory = FoldsDirectory(Path(root))
    if not directory.exists:
        raise RunError(f"{root} is no cross-validation: it has no {directory.config.name}")
    guard(directory.root)
    return directory


def cross_validate_command(root: Path) -> str:
    """Return the command that goes on with a cross-validation, as it can be typed."""
    return shlex.join(["spine-ignite", "cross-validate", "--resume", str(root)])
