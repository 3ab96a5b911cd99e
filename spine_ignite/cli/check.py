"""``spine-ignite check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import (
    config_options,
    echo_json,
    json_option,
    print_table,
    progress_bar,
    reading_options,
    say,
)
from spine_ignite.names import counted, cut

if TYPE_CHECKING:
    from spine_ignite.config.data import NanRule
    from spine_ignite.datasets.cases import Dataset, Problem
    from spine_ignite.datasets.checks import Report
    from spine_ignite.datasets.sources import Source


@click.command(epilog="\b\nExample:\n  spine-ignite check dataset --scheme mrspineseg")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--scheme", help="Label scheme: a name, a YAML file, or nnU-Net's dataset.json. [default: data.scheme]")
@config_options
@reading_options
@json_option
def command(
    folder: Path | None,
    scheme: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    orientation: str | None,
    nan: NanRule,
    as_json: bool,
) -> int:
    """Report every problem of the dataset in FOLDER (default: all of a configuration) at once; exit 1 if there is any.

    It also says what each dataset labels, which is declared, and what of that is in none of its masks.
    """
    from spine_ignite.config import load_config
    from spine_ignite.datasets.checks import check_datasets
    from spine_ignite.datasets.sources import sources_of
    from spine_ignite.volumes.volume import Reading

    given = {"data.root": folder, "data.scheme": scheme, "data.orientation": orientation}
    data = load_config(config_file, overrides, given={**given, "data.nan": nan if nan != "refuse" else None}).data
    sources = sources_of(data)
    report = check_datasets(sources, lambda cases: progress_bar(cases, "Checking"), Reading(data.orientation, data.nan))
    if as_json:
        found = {"problems": _rows(report.problems), "warnings": _rows(report.warnings), "unused": _unused(report)}
        echo_json(_summary(report, sources) | found)
    else:
        _print(report, sources)
    return 1 if report.problems else 0


def _summary(report: Report, sources: Sequence[Source]) -> dict[str, Any]:
    dataset = report.dataset
    shapes = Counter("x".join(map(str, item.shape)) for item in report.checked if item.shape)
    spacings = Counter("x".join(f"{n:g}" for n in item.spacing) for item in report.checked if item.spacing)
    axes = Counter(_axes(item.orientation) for item in report.checked if item.orientation)
    values = Counter(value for item in report.checked for value in item.values)
    return {
        "root": str(dataset.root),
        "layout": dataset.layout,
        "cases": {name: len(dataset.split(name)) for name in ("train", "test")},
        "shapes": dict(shapes.most_common()),
        "spacings": dict(spacings.most_common()),
        "orientations": dict(axes.most_common()),
        **_contrasts(dataset),
        "cases_with_value": {str(value): values[value] for value in sorted(values)},
        "datasets": [_declared(report, source) for source in sources],
    }


def _contrasts(dataset: Dataset) -> dict[str, Any]:
    """How many cases have each contrast, where images of one exam are a case."""
    found = Counter(name for case in dataset.cases for name in case.images)
    return {"contrasts": dict(found)} if found else {}


def _declared(report: Report, source: Source) -> dict[str, Any]:
    from spine_ignite.datasets.checks import absent_classes

    cases = [case for case in report.dataset.cases if case.dataset == source.name]
    return {
        "name": source.name,
        "root": str(source.root),
        "masks": source.mapping.source.name,
        "cases": len(cases),
        "labelled": list(source.names),
        "in_no_mask": list(absent_classes(report, source)),
    }


def _axes(orientation: str) -> str:
    axis = next(place for place, letter in enumerate(orientation, 1) if letter in "LR")
    return f"{orientation}, sagittal slices along axis {axis}"


def _rows(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    return [{"case": p.case, "file": str(p.file or ""), "message": p.message} for p in problems]


def _unused(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "folder": str(group.folder),
            "files": len(group.files),
            "names": list(group.names[:3]),
            "why": group.why,
        }
        for group in report.unused
    ]


def _print(report: Report, sources: Sequence[Source]) -> None:
    summary = _summary(report, sources)
    roots = " and ".join(item["root"] for item in summary["datasets"])
    say(f"{roots}: {summary['layout']} layout, " + _counted(summary["cases"], "{1} {0} cases"))
    say("Shapes:   " + _counted(summary["shapes"], "{0} ({1})"))
    say("Spacings: " + _counted(summary["spacings"], "{0} mm ({1})"))
    say("Axes:     " + _counted(summary["orientations"], "{0} ({1})"))
    if "contrasts" in summary:
        say("Images:   " + _counted(summary["contrasts"], "{0} in {1}"))
    say("Labels:   " + (_counted(summary["cases_with_value"], "{0} in {1}") or "none"))
    for source, item in zip(sources, summary["datasets"], strict=True):
        say(f"Declared: {source.describe()}")
        absent = item["in_no_mask"]
        if absent:
            shown = _counted(dict.fromkeys(absent, 0), "{0}")
            say(f"          {shown} in none of its masks: if nobody has drawn them, leave them out of data.labelled")
    if report.unused:
        listed = [
            [_within(report.dataset.root, Path(group["folder"])), _names(group["names"], group["files"]), group["why"]]
            for group in _unused(report)
        ]
        print_table("Not used", ["folder", "files", "why"], listed)
    for what, problems in (("warning", report.warnings), ("problem", report.problems)):
        if problems:
            rows = [[p.case, _within(report.dataset.root, p.file), p.message] for p in problems]
            print_table(_number(problems, what), ["case", "file", what], rows)
    say(f"{_number(report.problems, 'problem')}." if report.problems else "No problems.")


def _names(names: Sequence[str], number: int) -> str:
    if not names:
        return counted(number, "file")
    more = f" and {number - len(names)} more" if number > len(names) else ""
    return ", ".join(cut(name, 60) for name in names) + more


def _within(root: Path, file: Path | None) -> str:
    """The file's path in the dataset: train and test may hold files of one name."""
    if file is None:
        return ""
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def _number(problems: tuple[Problem, ...], what: str) -> str:
    return f"{len(problems)} {what}" + ("s" if len(problems) != 1 else "")


def _counted(counts: dict[str, int], template: str) -> str:
    shown = [template.format(key, number) for key, number in list(counts.items())[:12]]
    return ", ".join(shown) + (f", and {len(counts) - 12} more" if len(counts) > 12 else "")
