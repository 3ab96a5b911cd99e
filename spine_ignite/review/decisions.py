"""What was decided in a sheet: the table that it lets people download, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from spine_ignite.csv_files import read_csv
from spine_ignite.errors import DataError
from spine_ignite.names import brief, cut

Verdict = Literal["accept", "reject", "correct"]
# `use` says what the table is for; the sheet's script writes them in this order.
COLUMNS = ("case", "file", "sha256", "decision", "level", "x_mm", "y_mm", "z_mm", "remark", "use")
_NEEDED = COLUMNS[:9]
_LEVEL = re.compile(r"[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a label volume.

    Args:
        case: its name without suffix.
        file: its file name.
        sha256: of its content when the sheet was made.
        verdict: ``accept``, ``reject`` or ``correct``; None for a remark alone.
        level: the right name of a vertebra, if the levels are to be corrected.
        point: a point in that vertebra, RAS+ mm.
        remark: as it was written.
    """

    case: str
    file: str
    sha256: str
    verdict: Verdict | None
    level: str = ""
    point: tuple[float, float, float] | None = None
    remark: str = ""

    @property
    def condition(self) -> str:
        """The correction as ``spine-ignite levels --level`` takes it: ``L3@x,y,z``; empty if there is none."""
        return "" if self.point is None else f"{self.level}@{','.join(f'{mm:g}' for mm in self.point)}"


def read_decisions(table: Path) -> list[Decision]:
    """Read the table that a sheet was left with.

    Raises:
        DataError: it cannot be read, is no such table, or a row contradicts itself or another.
    """
    try:
        rows = list(read_csv(table))
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{table} is no table of decisions: {cut(str(error), 200)}") from error
    found: dict[str, Decision] = {}
    for number, row in enumerate(rows, 2):
        missing = [name for name in _NEEDED if name not in row]
        if missing:
            raise DataError(
                f"{table} is no table of decisions: it lacks the column {missing[0]}; download one from a sheet of "
                "`spine-ignite review`"
            )
        try:
            decision = _decision(row)
        except ValueError as error:
            raise DataError(
                f"{table}, line {number}: {error}; correct the line, or download the table again"
            ) from error
        if decision.file in found:
            raise DataError(f"{table}, line {number}: a second decision about {decision.file}; keep one of them")
        found[decision.file] = decision
    return list(found.values())


def decided_files(decisions: Sequence[Decision], folder: Path) -> dict[Path, Decision]:
    """Find the label volumes that were decided on, and make sure that they are those that were looked at.

    Raises:
        DataError: one is missing, or has changed since the sheet was made.
    """
    from spine_ignite.volumes.digests import volume_sha256

    found = {}
    for decision in decisions:
        path = folder / decision.file
        if not path.is_file():
            raise DataError(f"{path} was decided on and is not there; give the folder of which the sheet was made")
        if volume_sha256(path) != decision.sha256:
            raise DataError(f"{path} has changed since it was reviewed; make a sheet of what it is now and review it")
        found[path] = decision
    return found


def _decision(row: Mapping[str, str]) -> Decision:
    file = row["file"]
    if not file or Path(file).name != file or "\\" in file or file in (".", ".."):
        raise ValueError(f"{brief(file)} is no name of a file")
    if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
        raise ValueError(f"{brief(row['sha256'])} is no SHA-256")
    verdict = row["decision"]
    if verdict and verdict not in get_args(Verdict):
        raise ValueError(f"{brief(verdict)} is none of {', '.join(get_args(Verdict))}")
    place = [row[name] for name in ("x_mm", "y_mm", "z_mm")]
    level, point = row["level"], None
    if verdict == "correct":
        if not _LEVEL.fullmatch(level):
            raise ValueError(f"{brief(level)} is no level")
        x, y, z = (_millimetres(text) for text in place)
        point = (x, y, z)
    elif level or any(place):
        raise ValueError("a level and a point belong to the decision correct alone")
    known: dict[str, Verdict] = {name: name for name in get_args(Verdict)}
    return Decision(row["case"], file, row["sha256"], known.get(verdict), level, point, row["remark"])


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e5:
        raise ValueError(f"{brief(text)} is no place in mm")
    return value
