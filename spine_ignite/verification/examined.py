"""What is verified: a run with the part of its manifest that counts, and its dataset as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.sources import Source, elsewhere, find_all, sources_of
from spine_ignite.errors import DataError, SpineIgniteError
from spine_ignite.labels import LabelScheme
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.manifest import Chain, Entry
from spine_ignite.studies.making import load_study
from spine_ignite.studies.study_directory import StudyDirectory


@dataclass(frozen=True)
class Examined:
    """A run, a cross-validation or a study that is verified.

    Args:
        root: its folder.
        chain: its manifest, up to the head that was expected.
        data: where its dataset is now; None: where it was.
        is_whole: whether that is all of its manifest.
    """

    root: Path
    chain: Chain
    data: Path | None = None
    is_whole: bool = True

    @property
    def directory(self) -> RunDirectory:
        """The paths of a run."""
        return RunDirectory(self.root)

    @property
    def is_folds(self) -> bool:
        """Whether it is a cross-validation."""
        return FoldsDirectory(self.root).exists

    @property
    def is_study(self) -> bool:
        """Whether it is a study."""
        return StudyDirectory(self.root).exists

    @cached_property
    def config(self) -> RunConfig:
        """Its configuration, with the dataset where it is now.

        Raises:
            SpineIgniteError: it cannot be read.
        """
        config = load_config(self._config_file)
        if self.data is None:
            return config
        return config.model_copy(update={"data": config.data.model_copy(update={"root": self.data})})

    @property
    def _config_file(self) -> Path:
        if self.is_folds:
            return FoldsDirectory(self.root).config
        if self.is_study:
            study = load_study(self.root)
            return study.directory.config(study.methods[0])
        return self.directory.config

    @property
    def live(self) -> list[tuple[int, Entry]]:
        """The entries of which a file is still to be there as they say, the newest training among them."""
        numbers = {number for _, number in self.chain.files.values()}
        return [(number, entry) for number, entry in enumerate(self.chain.entries) if number in numbers]

    def sources(self, entry: Entry) -> tuple[Source, ...]:
        """Return the datasets that an entry's cases are of.

        Raises:
            SpineIgniteError: the configuration or what the entry says of the masks cannot be read.
        """
        elsewhere_root = entry.settings.get("data")
        if elsewhere_root is None:
            return sources_of(self.config.data)
        kept = entry.settings.get("masks")
        masks = LabelScheme.from_dict(kept, source="the manifest") if kept is not None else None
        return (elsewhere(self.config.data, Path(str(elsewhere_root)), masks),)

    def cases(self, entry: Entry) -> dict[str, Case]:
        """Return the cases of an entry that are there now, by name.

        Raises:
            SpineIgniteError: the dataset is gone or cannot be read.
        """
        known = _found(self.sources(entry))
        return {name: known[name] for name in entry.data if name in known}

    def recorded(self, path: str, number: int) -> bool:
        """Whether a file's hash in the entry of this number is the newest one."""
        known = self.chain.files.get(path)
        return known is not None and known[1] == number

    def relative(self, path: Path) -> str:
        """Return a path in the run as the manifest has it."""
        return path.relative_to(self.root).as_posix()


def _found(sources: Sequence[Source]) -> dict[str, Case]:
    for source in sources:
        if not source.root.is_dir():
            raise DataError(f"dataset {source.root} is not here; say with --data where it is")
    return {case.name: case for case in find_all(sources)[0].cases}


def said(error: SpineIgniteError | Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
