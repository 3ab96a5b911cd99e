"""Is a column as sure as it says? Columns named right, accepted and asked about, and how well their posteriors fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.evaluation.column_right import judge_column
from spine_ignite.inference.levels.bounds import CONFIDENCE, upper_bound
from spine_ignite.inference.levels.calibration import JudgedColumn, Support, number_patients
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import LabelScheme

FEWEST = 100  # columns, for the calibration error and the reliability diagram: with fewer they are noise
BINS = 10
_RESAMPLES = 2000
_LEVELS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True, slots=True)
class ColumnResult:
    """What was said of a column's levels, and whether it is so.

    Args:
        case: its name.
        patient: whose it is.
        posterior: of its naming; 0 where no column was found.
        accepted: whether its levels were accepted.
        risk: at which risk.
        right: whether every vertebra that was found has its own name.
        missed: vertebrae of the reference that were not found.
        variant: numbers of vertebrae that most people do not have, where the reference has them: ``6 lumbar``.
    """

    case: str
    patient: str
    posterior: float
    accepted: bool
    risk: float
    right: bool
    missed: int
    variant: str

    def to_dict(self) -> dict[str, Any]:
        """All but the name of the case."""
        return {key: value for key, value in asdict(self).items() if key != "case"}


@dataclass(frozen=True, slots=True)
class Bin:
    """Columns with posteriors of a range, as in a reliability diagram."""

    low: float
    high: float
    columns: int
    posterior: float
    right: float


def column_result(
    case: str, patient: str, confusion: NDArray[np.int64], described: Mapping[str, Any], scheme: LabelScheme
) -> ColumnResult | None:
    """Hold a column against the reference; None where that has no vertebrae, or the prediction has none.

    Args:
        case: its name.
        patient: whose it is.
        confusion: voxels by class in the reference (rows) and in the prediction (columns).
        described: what ``<name>.levels.json`` says.
        scheme: of the classes.
    """
    levels = SchemeLevels(scheme)
    judged = judge_column(confusion, [c.index for c in scheme.classes if c.kind == "vertebra"])
    if judged is None:
        return None
    said = described["column"]
    accepted = said["verdict"] == "accepted"
    posterior, risk = float(said["posterior"]), float(said["risk"])
    variant = variant_of(confusion, levels) if levels.are_known else ""
    return ColumnResult(case, patient, posterior, accepted, risk, judged.is_right, len(judged.missed), variant)


def variant_of(confusion: NDArray[np.int64], levels: SchemeLevels) -> str:
    """Return which unusual numbers of vertebrae the reference's labels show: 4 or 6 lumbar, 11 or 13 thoracic ones."""
    seen = {name for name, index in levels.vertebrae.items() if confusion[index].any()}
    sacrum = any(confusion[index].any() for index in levels.sacra)
    found = []
    if "L6" in seen:
        found.append("6 lumbar")
    elif sacrum and "L4" in seen and "L5" in levels.vertebrae.keys() - seen:
        found.append("4 lumbar")
    if "T13" in seen:
        found.append("13 thoracic")
    elif {"L1", "T11"} <= seen and "T12" in levels.vertebrae.keys() - seen:
        found.append("11 thoracic")
    return ", ".join(found)


def figures(columns: Sequence[ColumnResult]) -> dict[str, Any]:
    """Return what columns show, as plain data; empty without any.

    - ``right``: share named right; ``brier``: mean squared difference between posterior and outcome (Brier, Monthly
      Weather Review 78:1, 1950); each with an interval by resampling patients (percentiles of 2000).
    - ``coverage``: share accepted; ``selective_risk``: share of wrong ones among them (None if there are none), and
      its upper bound, one column of each patient, the least favourable.
    - ``curve``: coverage and share of wrong ones from each posterior on.
    - ``calibration_error`` and ``reliability`` with at least 100 columns: mean difference between posterior and share
      that is right over ten bins of equal width (Guo et al., ICML 2017).
    """
    if not columns:
        return {}
    posterior = np.array([column.posterior for column in columns])
    right = np.array([column.right for column in columns])
    patients = number_patients([column.patient for column in columns])
    accepted = [column for column in columns if column.accepted]
    wrong = sum(not column.right for column in accepted)
    squares = (posterior - right) ** 2
    of = np.array([patients[column.patient] for column in columns])
    risks = sorted({column.risk for column in columns})
    variants = [column for column in columns if column.variant]
    support = Support(tuple(JudgedColumn(c.posterior, c.right, patients[c.patient]) for c in accepted)).patients
    found: dict[str, Any] = {
        "columns": len(columns),
        "patients": len(patients),
        "right": float(right.mean()),
        "right_interval": _interval(right.astype(float), of),
        "missed": sum(column.missed > 0 for column in columns),
        "variants": len(variants),
        "variants_right": sum(column.right for column in variants),
        "risk": risks[0] if len(risks) == 1 else None,
        "accepted": len(accepted),
        "coverage": len(accepted) / len(columns),
        "accepted_wrong": wrong,
        "selective_risk": wrong / len(accepted) if accepted else None,
        "selective_risk_bound": upper_bound(sum(not ok for _, ok in support), len(support)),
        "brier": float(squares.mean()),
        "brier_interval": _interval(squares, of),
        "curve": [_above(posterior, right, level) for level in _LEVELS],
    }
    if len(columns) >= FEWEST:
        bins = reliability(posterior, right)
        found["reliability"] = [asdict(entry) for entry in bins]
        found["calibration_error"] = sum(b.columns * abs(b.posterior - b.right) for b in bins) / len(columns)
    return found


def reliability(posterior: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    """Return the bins of equal width that have columns.

    Args:
        posterior: of each column ``(N,)``.
        right: whether it is right ``(N,)``.
    """
    place = np.minimum((posterior * BINS).astype(int), BINS - 1)
    return [
        Bin(
            number / BINS,
            (number + 1) / BINS,
            int((place == number).sum()),
            float(posterior[place == number].mean()),
            float(right[place == number].mean()),
        )
        for number in np.unique(place).tolist()
    ]


def sentence(found: Mapping[str, Any]) -> str | None:
    """Say what columns show; None without any."""
    if not found:
        return None
    text = (
        f"Columns: {found['right']:.1%} of {found['columns']} named right, Brier score {found['brier']:.3f}"
        f"{interval_text(found['brier_interval'])}; {found['accepted']} accepted"
    )
    if found["risk"] is not None:
        text += f" at a risk of {100 * found['risk']:g} %"
    return text + (f", {found['accepted_wrong'] or 'none'} of them wrong" if found["accepted"] else "")


def interval_text(interval: Sequence[float] | None) -> str:
    """Return an interval in brackets; nothing without one."""
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"


def _above(posterior: NDArray[np.float64], right: NDArray[np.bool_], level: float) -> dict[str, Any]:
    above = posterior >= level
    count = int(above.sum())
    wrong = int((above & ~right).sum())
    return {"posterior": level, "columns": count, "wrong": wrong, "coverage": count / len(posterior)}


def _interval(values: NDArray[np.float64], patients: NDArray[np.int64]) -> list[float] | None:
    """Resample patients with all their columns; None with fewer than two."""
    count = int(patients.max()) + 1
    if count < 2:
        return None
    sums, sizes = np.bincount(patients, values, count), np.bincount(patients, minlength=count)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn @ sums / (drawn @ sizes), [tail, 1 - tail])
    return [float(low), float(high)]
