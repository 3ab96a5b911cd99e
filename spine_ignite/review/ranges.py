"""Measurements that are unusual, by limits from the literature: a short list for people to look at, no findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.csv_files import read_csv
from spine_ignite.errors import DataError
from spine_ignite.names import cut


@dataclass(frozen=True, slots=True)
class Range:
    """The usual range of a figure.

    Args:
        figure: the column of a table of measurements.
        low: below it, a value is told.
        high: above it, a value is told.
        unit: for people.
        title: what it is.
        source: where the limits are from.
    """

    figure: str
    low: float
    high: float
    unit: str
    title: str
    source: str


RANGES = (
    Range(
        "ratio_anterior_posterior",
        0.8,
        math.inf,
        "",
        "anterior over posterior height",
        "a vertebra that has lost 20 % of a height is deformed (Genant et al., J Bone Miner Res 8:1137, 1993)",
    ),
    Range(
        "ratio_middle_posterior",
        0.8,
        math.inf,
        "",
        "middle over posterior height",
        "a vertebra that has lost 20 % of a height is deformed (Genant et al., J Bone Miner Res 8:1137, 1993)",
    ),
    Range(
        "slip_mm",
        -3.0,
        3.0,
        " mm",
        "slip",
        "a slip counts from 3 mm (Jacobsen et al., Spine 32:120, 2007, standing)",
    ),
    Range(
        "canal_ap_mm",
        12.0,
        math.inf,
        " mm",
        "mid-sagittal diameter of the canal",
        "12 mm is narrow, 10 mm stenotic (Verbiest, Orthop Clin North Am 6:177, 1975, of the bony canal)",
    ),
    Range(
        "lordosis_deg",
        10.0,
        63.0,
        "°",
        "lordosis",
        "mean ± 2 SD of 627 volunteers lying (Asian Spine J 13:663, 2019)",
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A measurement out of its range, or a doubt that was told of one; ``text`` is for people."""

    text: str
    source: str = ""


Findings = Mapping[str, tuple[Finding, ...]]


def read_findings(table: Path) -> Findings:
    """Read what is unusual in a table of measurements (``spine-ignite measure … -o measurements.csv``).

    Returns:
        For each file by its name, without the folder, what is unusual, in the order of the table.

    Raises:
        DataError: the table cannot be read, or is none of measurements.
    """
    found: dict[str, list[Finding]] = {}
    try:
        for row in read_csv(table):
            if not {"file", "level"} <= row.keys():
                raise ValueError("it lacks the columns file and level")
            name = Path(row["file"].replace("\\", "/")).name
            found.setdefault(name, []).extend(_findings(row))
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from error
    except ValueError as error:
        reason = cut(str(error), 200)
        raise DataError(
            f"{table} is no table of measurements ({reason}); `spine-ignite measure -o` writes one"
        ) from error
    return {name: tuple(findings) for name, findings in found.items()}


def _findings(row: Mapping[str, str]) -> list[Finding]:
    level = cut(row["level"], 20)
    found = []
    for known in RANGES:
        text = row.get(known.figure, "")
        value = float(text) if text else math.nan
        if value < known.low or value > known.high:
            end = f"below {known.low:g}" if value < known.low else f"above {known.high:g}"
            found.append(Finding(f"{level}: {known.title} {value:.3g}{known.unit}, {end}{known.unit}", known.source))
    told = [flag.strip() for flag in row.get("flags", "").split(";") if flag.strip()]
    return found + [Finding(f"{level}: {cut(flag, 200)}" if level else cut(flag, 200)) for flag in told]
