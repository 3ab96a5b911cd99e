"""What the manifest of a cross-validation says: its record, its folds' manifests, and what came of them."""

from __future__ import annotations

from spine_ignite.crossval.folds_plan import Plan
from spine_ignite.crossval.out_of_fold import Predictions
from spine_ignite.datasets.split import Fingerprint
from spine_ignite.evaluation.evaluation_entry import TABLES
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.levels.record import levels_file
from spine_ignite.inference.records import record_file
from spine_ignite.runs.manifest import NOTHING, append_entry, read_chain
from spine_ignite.runs.manifest_entries import code_of


def record_cross_validation(plan: Plan, predictions: Predictions, summary: Summary) -> str:
    """Add the result of a cross-validation to its manifest, with the heads of its folds'; return the head.

    Raises:
        RunError: the manifest cannot be written.
    """
    directory = plan.directory
    outputs = [result.output for result in predictions.results.values() if result.error is None]
    kept = [path for output in outputs for path in (output, record_file(output), levels_file(output))]
    tables = [directory.tables / name for name in TABLES]
    chains = {f"fold{n}": read_chain(directory.fold(n).root) for n in range(len(plan.folds.folds))}
    newest = [chain.entries[-1] for chain in chains.values() if chain is not None and chain.entries]
    return append_entry(
        directory.root,
        "cross-validation",
        code=code_of([]),
        machine=newest[0].machine if newest else {},
        data={case.name: Fingerprint(case.image, case.mask) for case in (*plan.folds.cases, *plan.folds.test)},
        files=[
            *(directory.config, directory.splits, directory.trained, directory.result, directory.calibration),
            *(directory.suspects, *tables, *kept),
        ],
        parts={name: NOTHING if chain is None else chain.head for name, chain in chains.items()},
        settings={
            "tables": directory.tables.relative_to(directory.root).as_posix(),
            "predictions": directory.out_of_fold.name,
            "tolerance": summary.tolerance,
            "surfaces": summary.surfaces,
            "weights": [member["weights"] for member in predictions.settings["members"]],
        },
    )  # fmt: skip
