"""The evaluations that a manifest records, with what they can be repeated by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.folds import read_folds
from spine_ignite.datasets.sources import Source
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import SpineIgniteError
from spine_ignite.evaluation.evaluation_entry import options_of
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.runs.manifest import Entry
from spine_ignite.verification.examined import Examined, said
from spine_ignite.verification.findings import Findings


@dataclass(frozen=True)
class Job:
    """Label volumes that one predictor makes.

    Args:
        run: whose networks.
        options: how.
        cases: of which.
    """

    run: Path
    options: InferenceOptions
    cases: list[Case]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that a manifest records.

    Args:
        examined: the run.
        number: of the entry, from 0.
        entry: the entry.
        cases: its cases, by name.
        sources: the datasets that they are of.
        jobs: what made its label volumes.
    """

    examined: Examined
    number: int
    entry: Entry
    cases: dict[str, Case]
    sources: tuple[Source, ...]
    jobs: list[Job]

    @property
    def tables(self) -> str:
        """The folder of its tables, as the manifest has it."""
        return str(self.entry.settings["tables"])

    @property
    def folder(self) -> Path:
        """The folder of its label volumes."""
        return self.examined.root / str(self.entry.settings["predictions"])

    @property
    def outputs(self) -> dict[str, Path]:
        """The label volume of each case that has one, by the case's name."""
        found: dict[str, Path] = {}
        for case in self.cases.values():
            output = case_jobs([case], self.folder)[0][1]
            if self.examined.relative(output) in self.entry.files:
                found[case.name] = output
        return found

    @property
    def left_out(self) -> list[str]:
        """The cases of the run's split that an evaluation of it should have, and has not."""
        directory, settings = self.examined.directory, self.entry.settings
        if self.entry.kind != "evaluation" or settings.get("data") is not None or not directory.split.is_file():
            return []
        part = read_split(directory.split).part("validation" if settings.get("split") == "validation" else "test")
        return [case.name for case in part if case.mask is not None and case.name not in self.entry.data]


def evaluations(examined: Examined, findings: Findings) -> Iterator[Evaluation]:
    """Give the evaluations whose tables are there, the oldest first; what is in the way of one is told."""
    for number, entry in examined.live:
        if entry.kind not in ("evaluation", "cross-validation"):
            continue
        try:
            tables = str(entry.settings["tables"])
            if not examined.recorded(f"{tables}/summary.json", number):
                continue  # there is a newer one of these cases
            yield _evaluation(examined, number, entry)
        except SpineIgniteError as error:
            findings.leave(f"{entry.settings.get('tables', entry.kind)}: {said(error)}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            findings.refuse(f"manifest.jsonl, line {number + 1}: its settings cannot be used ({type(error).__name__})")


def _evaluation(examined: Examined, number: int, entry: Entry) -> Evaluation:
    cases, sources = examined.cases(entry), examined.sources(entry)
    if entry.kind == "evaluation":
        job = Job(examined.root, options_of(entry.settings["options"]), list(cases.values()))
        return Evaluation(examined, number, entry, cases, sources, [job])
    directory, config = FoldsDirectory(examined.root), examined.config
    folds = read_folds(directory.splits)
    options = InferenceOptions(postprocess=config.predict.postprocess, device=config.device).on(config.data)
    held_out = {name for fold in folds.folds for name in fold.val}
    jobs = [
        Job(directory.fold(n).root, options, [cases[name] for name in fold.val if name in cases])
        for n, fold in enumerate(folds.folds)
    ]
    return Evaluation(examined, number, entry, {n: c for n, c in cases.items() if n in held_out}, sources, jobs)
