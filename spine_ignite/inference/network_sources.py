"""What predicts: runs, and networks in files of their own, which a plugin may have published under a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from spine_ignite.config import RunConfig, load_config, parse_config
from spine_ignite.datasets.case_ids import natural_order
from spine_ignite.errors import RunError, UsageError, suggest
from spine_ignite.inference.levels.calibration import Calibration, read_calibration
from spine_ignite.inference.levels.carried import Known, read_known
from spine_ignite.inference.levels.certificate import OF_UNKNOWN
from spine_ignite.inference.options import CHECKPOINTS
from spine_ignite.inference.postprocess.learned import steps_of_run
from spine_ignite.runs.directory import RunDirectory, open_run_directory
from spine_ignite.runs.exported import SUFFIX, Header, read_header
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.onnx_file import SUFFIX as ONNX
from spine_ignite.runs.onnx_file import read_onnx_header
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.runs.published import nothing_of_this_name, published, weights_of

HUB_FILE = f"model{SUFFIX}"  # in a folder for a model hub


@dataclass(frozen=True)
class ExportedNetwork:
    """A file of ``spine-ignite export``, which says itself how its run predicts.

    Args:
        path: the file.
    """

    path: Path

    @cached_property
    def config(self) -> RunConfig:
        """What of its run's configuration prediction asks for; defaults of a file that does not say.

        Raises:
            RunError: the file cannot be used.
        """
        try:
            return parse_config(self.header.settings, source=f"what is said in {self.path}")
        except UsageError as error:
            raise RunError(f"{error}; export it again") from error

    @cached_property
    def header(self) -> Header:
        """What it says about itself.

        Raises:
            RunError: the file cannot be used.
        """
        return read_onnx_header(self.path) if self.path.suffix == ONNX else read_header(self.path)

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps of the clean-up."""
        return self.config.predict.postprocess

    @property
    def calibration(self) -> Calibration | None:
        """Columns that it had not seen, if the file has those of its cross-validation, and they hold for it."""
        return self._known.calibration

    @property
    def uncalibrated(self) -> str:
        """Why there is no calibration."""
        return self._known.why

    @cached_property
    def _known(self) -> Known:
        return read_known(self.header)

    def checkpoint(self, name: str) -> Path:
        """Return its file, the best that there is.

        Raises:
            UsageError: another one is wanted.
        """
        if name != "best":
            raise UsageError(f"{self.path} has one network; leave the checkpoint '{name}' out, or give a run")
        return self.path

    @property
    def root(self) -> Path:
        """What stands for it in records."""
        return self.path


@dataclass(frozen=True)
class TrainedRun:
    """A run with its checkpoints.

    Args:
        directory: of the run.
    """

    directory: RunDirectory

    @cached_property
    def config(self) -> RunConfig:
        """Its configuration."""
        return load_config(self.directory.config)

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps of the clean-up, learned or configured."""
        return steps_of_run(self.directory)

    @property
    def calibration(self) -> Calibration | None:
        """Columns that it had not seen, if it is a fold of a cross-validation that named levels.

        Raises:
            RunError: their file is damaged.
        """
        folds = FoldsDirectory(self.directory.root.absolute().parent)
        return read_calibration(folds.calibration) if folds.exists else None

    @property
    def uncalibrated(self) -> str:
        """Why there is no calibration."""
        return OF_UNKNOWN

    def checkpoint(self, name: str) -> Path:
        """Return the checkpoint ``best`` or ``last``, or a file.

        Raises:
            UsageError: it is none of these.
        """
        return checkpoint_file(self.directory, name)

    @property
    def root(self) -> Path:
        """Its directory."""
        return self.directory.root


Source: TypeAlias = TrainedRun | ExportedNetwork


def find_sources(name: Path) -> list[Source]:
    """Return what a name stands for: a published network, an exported file, a folder for a hub, or runs.

    Runs are found as by :func:`find_runs`.

    Raises:
        UsageError: it stands for two things.
        RunError: it is none of these, or its weights are missing.
    """
    item = published(name)
    if item is not None:
        return [ExportedNetwork(weights_of(item))]
    if name.suffix in (SUFFIX, ONNX) and not name.is_dir():
        return [ExportedNetwork(name)]
    if (name / HUB_FILE).is_file() and not (name / "config.yaml").exists():
        return [ExportedNetwork(name / HUB_FILE)]
    if not name.exists():
        raise nothing_of_this_name(name)
    return [TrainedRun(run) for run in find_runs(name)]


def find_runs(path: Path) -> list[RunDirectory]:
    """Return the run at ``path``, the folds of a cross-validation, or the runs in a folder of runs.

    Raises:
        RunError: it is none of these, or folds of a cross-validation are not trained yet.
    """
    folds = FoldsDirectory(path)
    if folds.exists:
        return folds.runs()
    if not (path / "config.yaml").is_file() and path.is_dir():
        folders = sorted(path.iterdir(), key=lambda folder: natural_order(folder.name))
        runs = [RunDirectory(folder) for folder in folders if (folder / "config.yaml").is_file()]
        if runs:
            return runs
        if not (path / HUB_FILE).is_file():
            raise RunError(f"{path} is not a run directory: it has no config.yaml, nor has any folder in it")
        raise _without_run(path)
    if not path.is_dir() and (path.suffix in (SUFFIX, ONNX) or published(path) is not None):
        raise _without_run(path)
    return [open_run_directory(path)]


def _without_run(path: Path) -> RunError:
    return RunError(
        f"{path} is a network without a run, which has no cases of its own; predict with it, and judge its label "
        "volumes: spine-ignite evaluate --predictions DIR --labels DIR"
    )


def checkpoint_file(run: RunDirectory, name: str) -> Path:
    """Return the checkpoint of a run that is called ``best`` or ``last``; another name is that of a file.

    Raises:
        UsageError: it is neither, nor has the suffix of a file.
    """
    if name in CHECKPOINTS:
        return run.best if name == "best" else run.last
    if not Path(name).suffix:
        raise UsageError(f"there is no checkpoint '{name}'.{suggest(name, CHECKPOINTS)} Give best, last or a file")
    return Path(name)


@contextmanager
def names_recorded(name: Path) -> Iterator[None]:
    """Resolve names as the first run that ``name`` stands for recorded them; an exported file names its architecture's.

    Raises:
        RunError: it stands for nothing.
    """
    first = find_sources(name)[0]
    with as_recorded(first.directory) if isinstance(first, TrainedRun) else nullcontext():
        yield
