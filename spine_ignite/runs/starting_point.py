"""The trained network that a training starts from: found, read, and what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from spine_ignite.config import StartConfig
from spine_ignite.datasets.split import Split, read_split
from spine_ignite.errors import DataError, RunError
from spine_ignite.runs.checkpoints import read_weights, require_numbers
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory, open_run_directory
from spine_ignite.runs.published import nothing_of_this_name, published, weights_of
from spine_ignite.runs.weights import require_weights
from spine_ignite.volumes.digests import file_sha256

_SHOWN = 5  # cases


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Weights that a training starts from.

    Attributes:
        config: what a run records of it, with which it is found again.
        path: the file.
        weights: a state dict, on the CPU.
        description: of the network that they are of.
        images: SHA-256 of the voxels of every image that they were trained on.
    """

    config: StartConfig
    path: Path
    weights: Mapping[str, Tensor]
    description: Description
    images: frozenset[str]

    def require_unseen(self, split: Split) -> None:
        """Refuse weights that know what a run is judged by.

        Raises:
            DataError: they were trained on an image that the run validates or tests on.
        """
        parts = (("validation", split.validation), ("test", split.test))
        seen = [
            f"{case.name} ({part})" for part, cases in parts for case in cases if self.images.intersection(case.seen)
        ]
        if seen:
            more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
            raise DataError(
                f"{self.path} (train.start_from) was trained on images that this run is judged by: "
                f"{', '.join(seen[:_SHOWN])}{more}; start from another network, or judge by other cases (data.split)"
            )


def open_starting_point(config: StartConfig) -> StartingPoint:
    """Read the weights that ``train.start_from`` names: a run's best, those in a file, or a published network's.

    Raises:
        UsageError: the name stands for two things.
        RunError: there is nothing of this name, it cannot be used, is not the file that was recorded, or does not say
            what it was trained on.
    """
    path, source = _locate(config.source)
    digest = file_sha256(path)
    if config.sha256 not in (None, digest):
        raise RunError(
            f"{path} is not the file that train.start_from records (its SHA-256 is {digest[:12]}…, not "
            f"{str(config.sha256)[:12]}…); restore it, or start from it as it is now: train.start_from={config.source}"
        )
    weights, description = read_weights(path)
    require_weights(weights, path)
    require_numbers(weights, path)
    run = RunDirectory(path.parent.parent)
    images = images_seen(description, run if path in (run.best, run.last, run.previous) else None)
    if images is None:
        raise RunError(
            f"{path} is of an older version and does not say which images it was trained on, so that nothing can be "
            "said about what its network has seen; give the run that it is from, or export that run again"
        )
    return StartingPoint(StartConfig(source=source, sha256=digest), path, weights, description, frozenset(images))


def record_start(config: StartConfig, begun: StartConfig | None = None) -> StartConfig:
    """Return ``train.start_from`` as it is recorded: found from any folder, with the SHA-256 of the file.

    Args:
        config: as it was given.
        begun: as it was recorded before; if that is of the same source it is taken, whatever has become of the file.

    Raises:
        UsageError: the name stands for two things.
        RunError: there is nothing of this name.
    """
    same = begun is not None and begun.source in (config.source, str(Path(config.source).absolute()))
    if begun is not None and same and config.sha256 in (None, begun.sha256):
        return begun
    path, source = _locate(config.source)
    return StartConfig(source=source, sha256=config.sha256 or file_sha256(path))


def _locate(source: str) -> tuple[Path, str]:
    """Return the file, and the source as it is found from anywhere."""
    item = published(source)
    if item is not None:
        return weights_of(item), source
    path = Path(source).absolute()
    if path.is_dir():
        run = open_run_directory(path)
        if not run.best.is_file():
            raise RunError(f"{path} has no {run.best.name} yet to start from; train it first, or give a file")
        return run.best, str(path)
    if not path.is_file():
        raise nothing_of_this_name(source)
    return path, str(path)


def images_seen(description: Description, run: RunDirectory | None) -> tuple[str, ...] | None:
    """Return the SHA-256 of the voxels of all images that weights were trained on; None: nobody says.

    Args:
        description: of the weights, which knows it but for those of older versions.
        run: that they are from, whose split says it then; older versions had nothing to start from.

    Raises:
        DataError: the split cannot be read.
    """
    if description.images is not None or run is None or not run.split.is_file():
        return description.images
    return tuple(sorted({image for case in read_split(run.split).training for image in case.seen}))
