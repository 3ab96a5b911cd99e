"""The methods section of a study, written from its manifest and those of its cells, nothing by hand."""

from __future__ import annotations

from spine_ignite.compare.grids import main_grid
from spine_ignite.compare.markdown import method
from spine_ignite.datasets.folds import read_folds
from spine_ignite.errors import RunError
from spine_ignite.evaluation.table_files import read_tables
from spine_ignite.names import counted
from spine_ignite.report.methods import computation_text, evaluation_text, made_as, recorded_training, require_recorded
from spine_ignite.report.methods_text import Methods, Table
from spine_ignite.runs.manifest import read_chain
from spine_ignite.studies.making import Study
from spine_ignite.studies.pooling import Split
from spine_ignite.studies.seal import read_openings
from spine_ignite.studies.study_directory import study_command
from spine_ignite.studies.study_output import method_text
from spine_ignite.studies.study_report import StudyReport, make_report


def methods_of_study(study: Study, split: Split) -> Methods:
    """Write the methods section of a study, with the table over all cells.

    What is the same for all methods is said once, what differs for each. Figures are computed from the cells' tables.

    Args:
        study: whose report was written.
        split: of the report, ``validation`` or ``test``.

    Raises:
        RunError: there is no such report in its manifest, or a file is another one by now.
        DataError: results are damaged or missing.
    """
    directory = study.directory
    chain, tables = read_chain(directory.root), directory.report(split).relative_to(directory.root).as_posix()
    known = None if chain is None else chain.files.get(f"{tables}/study.json")
    if chain is None or known is None:
        raise RunError(
            f"the manifest of {directory.root} has no report of the {split} cases, from which methods could be "
            f"written; make it with: {study_command('report', directory.root)}"
        )
    require_recorded(directory.root, chain, ("study.yaml", "splits.json", "sealed.json", f"{tables}/study.json"))
    settings = chain.entries[known[1]].settings
    report = make_report(
        study, split, measure=str(settings["measure"]), difference=float(settings["difference"]),
        seed=int(settings["seed"]), resamples=int(settings["resamples"]), cost=False,
    )  # fmt: skip
    first = {name: directory.run(next(c.name for c in study.cells if c.method == name)) for name in study.methods}
    run = first[study.methods[0]]
    paragraphs = [
        ("Study", _declared(study)),
        ("Data", _data(study)),
        *_said_once({name: made_as(found) for name, found in first.items()}),
        ("Evaluation", f"Of each training: {evaluation_text(read_tables(run.evaluation / split), split)}"),
        ("Statistics", f"{method_text(report)} {method(report.comparison)}"),
        ("Computation", computation_text(recorded_training(run)[1])),
    ]
    return Methods(tuple(paragraphs), (_table(report),), chain.head)


def _declared(study: Study) -> str:
    declared = study.declaration
    seeds = ", ".join(map(str, declared.seeds))
    times = declared.folds * len(declared.seeds)
    return (
        f"{counted(len(study.methods), 'method')} ({', '.join(study.methods)}) were trained {counted(times, 'time')} "
        f"each: on {declared.folds} folds of the patients with {counted(len(declared.seeds), 'seed')} ({seeds})."
    )


def _data(study: Study) -> str:
    folds = read_folds(study.directory.splits)
    openings = read_openings(study.directory)
    opened = f"opened {counted(len(openings), 'time')}, first on {openings[0].when}" if openings else "not opened"
    patients, others = ({case.patient for case in cases} for cases in (folds.cases, folds.test))
    return (
        f"{counted(len(folds.cases), 'case')} of {counted(len(patients), 'patient')} were split into folds by patient "
        f"({folds.origin}). The test set of {counted(len(folds.test), 'case')} of {counted(len(others), 'patient')} "
        f"was sealed when the study was made, and {opened}."
    )


def _said_once(made: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Paragraphs of several methods, those that are the same for all once."""
    found = []
    for number, (title, _) in enumerate(next(iter(made.values()))):
        texts = {name: paragraphs[number][1] for name, paragraphs in made.items()}
        if len(set(texts.values())) == 1:
            found.append((title, next(iter(texts.values()))))
        else:
            found += [(f"{title} of {name}", text) for name, text in texts.items()]
    return found


def _table(report: StudyReport) -> Table:
    grid = main_grid(report.comparison)
    rows = [
        (name, *(f"{cell.text} {cell.interval}".strip() for cell in cells))
        for name, cells in zip(grid.names, grid.rows, strict=True)
    ]
    caption = f"Results on the {report.split} cases, means over trainings with 95 % intervals over cases."
    return Table(caption, (grid.corner, *grid.headings), tuple(rows))
