"""Columns that were named out of fold, held against the masks: what tells how often an accepted one is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spine_ignite.config.postprocess import LEVELS
from spine_ignite.crossval.folds_plan import Plan
from spine_ignite.crossval.out_of_fold import Predictions, scheme_of
from spine_ignite.evaluation.column_right import judge_column
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.levels.bounds import percent
from spine_ignite.inference.levels.calibration import (
    Calibration,
    JudgedColumn,
    basis_of,
    number_patients,
    read_calibration,
    write_calibration,
)
from spine_ignite.inference.levels.record import read_levels
from spine_ignite.names import counted


def calibrate(plan: Plan, predictions: Predictions, summary: Summary) -> Calibration | None:
    """Write ``calibration.json``, unless it is there; None if the clean-up does not name levels.

    Args:
        plan: of the cross-validation.
        predictions: of all cases out of fold.
        summary: what they are worth.

    Raises:
        DataError: what is said of a column is damaged.
        RunError: the file cannot be written.
    """
    if LEVELS not in predictions.settings["postprocess"]:
        return None
    file, basis = plan.directory.calibration, basis_of(predictions.settings, scheme_of(plan))
    known = read_calibration(file)
    if known is not None and known.basis == basis:
        return known
    calibration = _made(plan, predictions, summary, basis)
    write_calibration(file, calibration)
    return calibration


def _made(plan: Plan, predictions: Predictions, summary: Summary, basis: Mapping[str, Any]) -> Calibration:
    vertebrae = [c.index for c in scheme_of(plan).classes if c.kind == "vertebra"]
    patients = {case.name: case.patient for case in plan.folds.cases}
    numbers = number_patients([case.patient for case in plan.folds.cases])
    columns: list[JudgedColumn] = []
    traits: list[Mapping[str, float]] = []
    for case in summary.cases:
        described = read_levels(predictions.results[case.case].output)
        judged = judge_column(case.confusion, vertebrae)
        if described is None or judged is None:
            continue
        column, known = described["column"], described.get("input", {})
        patient = numbers[patients[case.case]]
        asked, phantom = bool(column.get("asked_for", ())), bool(known.get("phantom", False))
        columns.append(JudgedColumn(float(column["posterior"]), judged.is_right, patient, phantom, asked))
        traits.append(known.get("traits") or {})
    return Calibration.learn(basis, columns, traits)


def told(calibration: Calibration, risk: float) -> list[str]:
    """Say what the columns support, a sentence for each kind of input that there is."""
    lines = []
    for phantom, of in ((False, "people"), (True, "phantoms")):
        support = calibration.of_kind(phantom)
        if not support.columns:
            continue
        right = sum(column.right for column in support.columns)
        said = f"Columns of {of}: {right} of {len(support.columns)} named right"
        threshold = support.threshold(risk)
        if threshold is not None:
            said += (
                f"; from a posterior of {threshold.posterior:g} on accepted at a risk of {percent(risk)} "
                f"({counted(threshold.cases, 'patient')}, {threshold.errors or 'none'} wrong)"
            )
        elif support.smallest_risk is not None:
            said += f"; they support a risk of {percent(support.smallest_risk)}, and {percent(risk)} is asked for: "
            said += f"{support.needed(risk)} patients would be needed, and none is accepted"
        else:
            said += "; they support no risk, and none is accepted"
        lines.append(said)
    return lines
