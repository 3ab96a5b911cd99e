"""Which patient a case is of: by its name, by a pattern or a table, and by images that are equal."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from spine_ignite.datasets.case_ids import natural_order
from spine_ignite.datasets.name_lookup import CaseNames
from spine_ignite.errors import DataError
from spine_ignite.names import cut

_SPIDER = re.compile(r"(\d+)_t[12](_space)?", re.IGNORECASE)
_BIDS = re.compile(r"(sub-[^_]+)(_.*)?")


def patient_of(name: str) -> str:
    """Return the patient that a case's name tells, else the name itself.

    SPIDER's series ``12_t1``, ``12_t2`` and ``12_t2_SPACE`` are patient ``12``, BIDS's ``sub-07_ses-1_T2w`` is
    ``sub-07``.
    """
    known = _SPIDER.fullmatch(name) or _BIDS.fullmatch(name)
    return known.group(1) if known else name


def patients_of(names: Sequence[str], rule: str | None) -> dict[str, str]:
    """Return the patient of each case.

    Args:
        names: the cases.
        rule: ``data.patients``: a regular expression whose one group is the patient, a CSV file with the columns
            ``case`` and ``patient``, or None for what the names tell.

    Raises:
        DataError: the pattern or the table leaves a case out, or the table cannot be used.
    """
    if rule is None:
        return {name: patient_of(name) for name in names}
    if is_table(rule):
        return _from_table(names, Path(rule))
    found = {name: match.group(1) for name in names if (match := re.match(rule, name)) and match.group(1)}
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(f"the pattern data.patients={rule} finds no patient in the case {listed(lacking)}; widen it")
    return found


def is_table(rule: str) -> bool:
    """Whether ``data.patients`` names a table and is no pattern."""
    return rule.lower().endswith(".csv")


def join_equal(cases: Iterable[tuple[str, str, bool]]) -> dict[str, str]:
    """Count patients with an equal image as one; return each patient's name, which of those is the first.

    Args:
        cases: of each the patient, the digest of its voxels, and whether it is a training case. A joined patient has
            the name of a training case's patient if there is one, so that test cases do not rename it.
    """
    groups: dict[str, set[str]] = {}
    holder: dict[str, str] = {}
    training = set()
    for patient, voxels, is_training in cases:
        group = groups.setdefault(patient, {patient})
        other = groups[holder.setdefault(voxels, patient)]
        if other is not group:
            other |= group
            groups.update(dict.fromkeys(group, other))
        if is_training:
            training.add(patient)
    return {
        patient: min(group & training or group, key=lambda name: (natural_order(name), name))
        for patient, group in groups.items()
    }


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[list[str]]:
    """Read columns of a CSV file with a heading, without space around the values.

    Commas, semicolons or tabs part the columns; capitals in the heading do not matter. What is ``optional`` is empty
    where there is no such column.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.readline()
            file.seek(0)
            rows = csv.DictReader(file, delimiter=max(",;\t", key=sample.count))
            rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
            lacking = [column for column in columns if column not in rows.fieldnames]
            if lacking:
                raise DataError(f"{path} has no column '{lacking[0]}'; give it a heading with {' and '.join(columns)}")
            return [[(row.get(column) or "").strip() for column in (*columns, *optional)] for row in rows]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; name a CSV file with {' and '.join(columns)}"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; save it as CSV again") from error


def listed(names: Sequence[str]) -> str:
    """Return up to five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(cut(name, 80) for name in names[:5]) + more


def _from_table(names: Sequence[str], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    known = CaseNames(names)
    for case, patient in read_table(path, ("case", "patient")):
        name = known.find(case)
        if name is None:
            continue  # of another part of the data
        if not patient:
            raise DataError(f"{path} names no patient for the case {case}; fill the column 'patient'")
        if found.setdefault(name, patient) != patient:
            raise DataError(f"{path} gives the case {case} to two patients, {found[name]} and {patient}; keep one")
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(f"{path} does not name the patient of the case {listed(lacking)}; add what is missing")
    return found
