"""Columns of a cross-validation: which would be accepted, whether they are right, which are unlike the others.

Each column was named by the network that has not seen its patient. It passes if nothing speaks against it and its
posterior is at least the threshold; how many pass says nothing about a risk, for which these are too few. It is unlike
the others if its traits are strange beside those of all other patients.

    spine-ignite cross-validate --config configs/lumbar.yaml --data T1 --out folds
    python benchmarks/certificates_folds.py folds
"""

from __future__ import annotations

import argparse
from pathlib import Path

from spine_ignite.inference.levels.calibration import Calibration, read_calibration
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.runs.folds_directory import FoldsDirectory


def main() -> None:
    """Print a line for each threshold, and one for what is unlike the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", type=Path, help="of spine-ignite cross-validate, with the step levels")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.9, 0.95, 0.98, 0.99])
    options = parser.parse_args()
    calibration = read_calibration(FoldsDirectory(options.folds).calibration)
    if calibration is None:
        parser.error(f"{options.folds} has no calibration.json: its columns were not named")
    columns = [column for column in calibration.columns if not column.phantom]
    print(f"{len(columns)} columns, {sum(c.right for c in columns)} named right, {sum(c.asked for c in columns)} asked")
    for threshold in options.thresholds:
        passed = [c for c in columns if not c.asked and c.posterior >= threshold]
        wrong = sum(not c.right for c in passed)
        print(f"posterior {threshold:g}: {len(passed)} pass ({len(passed) / len(columns):.0%}), {wrong} of them wrong")
    flagged, cases = unlike_the_others(calibration)
    print(f"unlike the other patients: {flagged} of {cases} ({flagged / cases:.0%})")


def unlike_the_others(calibration: Calibration) -> tuple[int, int]:
    """Return how many patients are flagged beside all others, and how many there are."""
    rows = calibration.known(phantom=False).rows
    told = [Familiarity.fit([*rows[:i], *rows[i + 1 :]]).reasons(row) for i, row in enumerate(rows)]
    return sum(bool(reasons) for reasons in told), len(rows)


if __name__ == "__main__":
    main()
