"""The sheet: a cohort in one HTML file, in which a person goes from case to case, decides, and takes a table away."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_ignite.errors import UsageError
from spine_ignite.files import write_text
from spine_ignite.labels import LabelScheme
from spine_ignite.places import require_file_apart
from spine_ignite.report.self_contained import package_text, policy, templates
from spine_ignite.review.certificates import Verdict
from spine_ignite.review.cohort import Case, Progress, load_cohort
from spine_ignite.review.decisions import COLUMNS
from spine_ignite.review.ranges import RANGES, read_findings
from spine_ignite.version import __version__
from spine_ignite.volumes.volume import STRICT, Reading

PURPOSE = "for research: no diagnosis, no medical device, no proof that labels are right"
_PACKAGE = "spine_ignite.review"
_SCRIPTS = ("column.js", "table.js", "memory.js", "sheet.js")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that was written.

    Args:
        path: where.
        megabytes: its size.
        verdicts: how many cases have each verdict of their certificates.
        problems: what is not shown, and why, a sentence each.
    """

    path: Path
    megabytes: float
    verdicts: dict[Verdict, int]
    problems: tuple[str, ...]


def write_sheet(
    labels: Path,
    out: Path,
    scheme: LabelScheme,
    *,
    images: Path | None = None,
    measurements: Path | None = None,
    reading: Reading = STRICT,
    progress: Progress | None = None,
) -> Sheet:
    """Write a cohort's sheet; it opens without a network and holds everything that it shows.

    Args:
        labels: folder of label volumes; their certificates lie beside them.
        out: the file.
        scheme: what the values of the label volumes mean.
        images: folder of the images.
        measurements: the table of ``spine-ignite measure``.
        reading: how files are read that leave something unsaid.
        progress: wraps the cases, to show how far it is.

    Raises:
        UsageError: the sheet would not be called .html, or lie among labels or images.
        DataError: a folder or the table cannot be used.
        RunError: the sheet cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the sheet is to be written to {out}; give a name that ends in .html")
    require_file_apart("--out", out, {"LABELS": labels, **({"--images": images} if images is not None else {})})
    findings = read_findings(measurements) if measurements is not None else None
    cases = load_cohort(labels, scheme, images, findings, reading, progress)
    text = _render(cases, scheme, labels.resolve().name, measurements is not None)
    write_text(out, text)
    problems = tuple(f"{case.file}: {case.problem}" for case in cases if case.problem)
    verdicts = dict(Counter(case.certificate.verdict for case in cases))
    return Sheet(out, len(text.encode()) / 1e6, verdicts, problems)


def _render(cases: Sequence[Case], scheme: LabelScheme, title: str, is_measured: bool) -> str:
    style = package_text(_PACKAGE, "templates/sheet.css")
    scripts = ["\n".join(package_text(_PACKAGE, f"templates/{name}") for name in _SCRIPTS)]
    return (
        templates(_PACKAGE)
        .get_template("sheet.html")
        .render(
            cases=cases,
            data=_data(cases, scheme),
            title=title,
            scheme=scheme,
            is_measured=is_measured,
            ranges=RANGES,
            purpose=PURPOSE,
            version=__version__,
            style=style,
            scripts=scripts,
            policy=policy(scripts, style),
        )
    )


def _data(cases: Sequence[Case], scheme: LabelScheme) -> dict[str, Any]:
    """What the page's script needs to know."""
    known = [(case.file, case.sha256) for case in cases]
    return {
        "digest": hashlib.sha256(json.dumps(sorted(known)).encode()).hexdigest(),
        "columns": COLUMNS,
        "use": PURPOSE,
        "levels": [entry.name for entry in scheme.classes if entry.kind == "vertebra"],
        "cases": [
            {
                "name": case.name,
                "file": case.file,
                "sha256": case.sha256,
                "vertebrae": [[vertebra.name, *vertebra.centre] for vertebra in case.vertebrae],
            }
            for case in cases
        ],
    }
