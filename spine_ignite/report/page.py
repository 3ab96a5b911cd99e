"""The page: what a run's directory holds, put into one HTML file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.config import load_config
from spine_ignite.drawing.contours import css_color
from spine_ignite.errors import UsageError
from spine_ignite.evaluation.measures import SHOWN
from spine_ignite.evaluation.tables import Summary, level_sentence
from spine_ignite.files import write_text
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.locks import lock_folder
from spine_ignite.places import require_file_apart
from spine_ignite.report import curves
from spine_ignite.report.column_section import column_section
from spine_ignite.report.confusion import confusion_tables, neighbour_share
from spine_ignite.report.extremes import ShownCase, extremes, load_cases
from spine_ignite.report.outlines import Picture, picture
from spine_ignite.report.run_record import RunRecord, read_run
from spine_ignite.report.run_tables import case_table, class_table, matrix
from spine_ignite.report.self_contained import package_text, policy, templates
from spine_ignite.report.viewer import NIIVUE, Viewer, viewer
from spine_ignite.runs.provenance import as_recorded
from spine_ignite.version import __version__

Progress = Callable[[Any], Any]
_PACKAGE = "spine_ignite.report"
_PICTURES = 6  # cases that are drawn, whether or not their volumes are in the page


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written.

    Args:
        path: where.
        megabytes: its size.
        viewed: the cases whose volumes are in it.
        problems: what is not in it, and why, a sentence each.
    """

    path: Path
    megabytes: float
    viewed: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure: what it is, its text, and what it is of."""

    title: str
    text: str
    detail: str


def write_report(
    run: Path,
    out: Path | None = None,
    *,
    split: str = "test",
    cases: int = 2,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write a run's page; it opens without a network and holds everything that it shows.

    A run that was not judged gives a page about its training. Cases whose files are gone or have changed are named in
    the page and left out of pictures and viewer.

    Args:
        run: the run directory.
        out: the file; default ``report.html`` in the run directory.
        split: which evaluation: ``test`` or ``validation``.
        cases: how many cases have their volumes in the viewer, the worst and the best by turns.
        data: the dataset that was judged; default the one of the run.
        progress: wraps the cases that are drawn.

    Raises:
        RunError: there is no run, it has nothing to report, or the page cannot be written.
        UsageError: the page would not be called .html, or lie in the data.
        DataError: the evaluation is damaged.
    """
    record = read_run(run, split)
    path = out if out is not None else record.directory.root / "report.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is to be written to {path}; give a name that ends in .html")
    require_file_apart(
        "--out", path, {"--data": data} if data is not None else load_config(record.directory.config).data.roots
    )
    problems: list[str] = []
    sections: dict[str, Any] = {"pictures": [], "viewer": None, "evaluated": None}
    viewed: list[ShownCase] = []
    with as_recorded(record.directory):
        if record.summary is not None:
            scheme = load_scheme(load_config(record.directory.config).data.scheme)
            pictures: list[Picture] = []
            chosen = extremes(record.summary.cases, max(cases, _PICTURES))
            kept = record.summary.settings.get("masks")
            masks = LabelScheme.from_dict(kept) if kept is not None else None
            shown = load_cases(record, progress(chosen) if progress is not None else chosen, scheme, data, masks)
            for number, case in enumerate(shown):
                if isinstance(case, str):
                    problems.append(case)
                    continue
                if len(pictures) < _PICTURES:
                    pictures.append(picture(case, scheme))
                if number < cases:
                    viewed.append(case)
            sections = {
                "pictures": sorted(pictures, key=lambda p: p.dice),
                "viewer": viewer(viewed, scheme) if viewed else None,
                "evaluated": _evaluated(record.summary, scheme),
            }
    text = _render(record, problems, sections)
    if out is None:
        with lock_folder(record.directory.root, "is writing its report", ".lock-report"):  # it may be in training
            write_text(path, text)
    else:
        write_text(path, text)
    return Report(path, len(text.encode()) / 1e6, tuple(case.name for case in viewed), tuple(problems))


def _evaluated(summary: Summary, scheme: LabelScheme) -> dict[str, Any]:
    return {
        "summary": summary,
        "tiles": _tiles(summary),
        "classes": class_table(summary),
        "cases": case_table(summary),
        "matrix": matrix(summary),
        "levels": level_sentence(summary),
        "columns": column_section(summary),
        "neighbours": neighbour_share(summary.confusion, scheme),
        "confusion": confusion_tables(summary.confusion, scheme),
        "legend": [(c.name, css_color(c)) for c in scheme.classes[1:]],
    }


def _tiles(summary: Summary) -> list[Tile]:
    means, cases = summary.means, len(summary.cases)
    ranked = extremes(summary.cases, 2)
    within = f"within {summary.tolerance:g} mm" if not math.isnan(summary.tolerance) else "within the tolerance"
    tiles = [
        Tile("Mean Dice", SHOWN["dice"].text(means["dice"]), f"{len(summary.classes)} classes, {cases} cases"),
        Tile(
            "HD95",
            f"{SHOWN['hd95'].text(means['hd95'])} mm",
            f"95th percentile of surface distances, by {summary.surfaces}",
        ),
        Tile("Surface Dice", SHOWN["nsd"].text(means["nsd"]), f"share of the surfaces {within}, by {summary.surfaces}"),
    ]
    if len(ranked) == 2:
        worst, best = (extreme.result for extreme in ranked)
        detail = f"Dice of {worst.case}; the best is {best.case} with {best.dice:.3f}"
        tiles.insert(1, Tile("Worst case", f"{worst.dice:.3f}", detail))
    if not math.isnan(means["level_rate"]):
        shifted = sum(case.shift != 0 for case in summary.cases)
        detail = "no column is shifted" if not shifted else f"{shifted} of {cases} columns shifted"
        tiles.append(Tile("Levels right", f"{means['level_rate']:.1%}", detail))
    missed, structures = sum(c.missed for c in summary.classes), sum(c.cases for c in summary.classes)
    tiles.append(Tile("Missed", str(missed), f"of {structures} structures in all cases"))
    return tiles


def _render(record: RunRecord, problems: Sequence[str], sections: dict[str, Any]) -> str:
    embedded: Viewer | None = sections["viewer"]
    scripts = [_text("templates/page.js")]
    if embedded is not None:
        scripts += [_text("vendor/niivue.umd.js"), _text("templates/viewer.js")]
    style = _text("templates/page.css")
    return (
        templates(_PACKAGE)
        .get_template("page.html")
        .render(
            record=record,
            name=record.directory.root.resolve().name,
            problems=problems,
            charts=record.charts,
            chart_size=(curves.WIDTH, curves.HEIGHT),
            version=__version__,
            niivue=NIIVUE,
            licences=[_text("vendor/LICENSE"), _text("vendor/LICENSES-BUNDLED")] if embedded is not None else [],
            style=style,
            scripts=scripts,
            policy=policy(scripts, style),
            **sections,
        )
    )


def _text(name: str) -> str:
    return package_text(_PACKAGE, name)
