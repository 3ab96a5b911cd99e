"""How surely columns are named, and how often rightly: what the page shows of a run whose clean-up names levels."""

from __future__ import annotations

from dataclasses import dataclass

from spine_ignite.evaluation.certainty import interval_text, sentence
from spine_ignite.evaluation.tables import Summary
from spine_ignite.report.curves import Chart, chart
from spine_ignite.report.run_tables import Cell, Column, Table


@dataclass(frozen=True, slots=True)
class ColumnSection:
    """What is said of the columns.

    Args:
        sentence: in words.
        totals: figures over all columns.
        cases: a row for each column, those that are wrong and sure first.
        reliability: share named right by posterior; None with too few columns.
    """

    sentence: str
    totals: Table
    cases: Table
    reliability: Chart | None


def column_section(summary: Summary) -> ColumnSection | None:
    """Return what is said of the columns; None where no levels were named."""
    found = summary.certainty
    said = sentence(found)
    if said is None:
        return None
    rows = [
        ("Named right", f"{found['right']:.1%}{interval_text(found['right_interval'])}"),
        ("Brier score", f"{found['brier']:.3f}{interval_text(found['brier_interval'])}"),
        ("Accepted", f"{found['accepted']} of {found['columns']}"),
        ("Wrong among the accepted", str(found["accepted_wrong"])),
        ("Upper bound of that share, 95 %", f"{found['selective_risk_bound']:.1%}" if found["accepted"] else "-"),
        ("Columns with a vertebra that was not found", str(found["missed"])),
        ("With unusual numbers of vertebrae, named right", f"{found['variants_right']} of {found['variants']}"),
    ]
    if "calibration_error" in found:
        rows.append(("Expected calibration error", f"{found['calibration_error']:.3f}"))
    totals = Table(
        "columns",
        f"All {found['columns']} columns of {found['patients']} patients; intervals by resampling patients",
        (Column("What", number=False), Column("Figure")),
        tuple((Cell(name), Cell(text)) for name, text in rows),
    )
    points = [(entry["posterior"], entry["right"]) for entry in found.get("reliability", ())]
    drawn = None
    if points:
        lines = {"share named right": points, "as the posterior says": [(0.0, 0.0), (1.0, 1.0)]}
        drawn = chart("Reliability of columns", lines, (0.0, 1.0), by="posterior")
    return ColumnSection(said, totals, _cases(summary), drawn)


def _cases(summary: Summary) -> Table:
    order = sorted(summary.columns, key=lambda column: (column.right, -column.posterior if not column.right else 0))
    rows = tuple(
        (
            Cell(column.case),
            Cell(f"{column.posterior:.4f}", repr(column.posterior)),
            Cell("accepted" if column.accepted else "asked about"),
            Cell("right") if column.right else Cell("wrong", tint=10 if column.accepted else 5),
            Cell(column.variant or "-"),
        )
        for column in order
    )
    columns = (
        Column("Case", number=False),
        Column("Posterior", "probability of the naming, as far as the model goes"),
        Column("Verdict", number=False),
        Column("Named", "whether every vertebra that was found has its own name", number=False),
        Column("Variant", "unusual numbers of vertebrae that the reference shows", number=False),
    )
    return Table("column-cases", "Columns, those that are wrong first", columns, rows)
