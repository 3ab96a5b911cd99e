"""What each kind of evidence should count for in the naming of a column, by cross-validation on real predictions.

A network predicts all cases of the folders, none of which it may have seen; each piece of a column gets the reference's
level that it overlaps most. Then the exponents are fitted on three quarters of the columns and judged on the rest
(``likelihood.fit``), and some exponents are tried on all.

    python benchmarks/naming_weights.py ready T1 T2 --try names=1.5 --try names=0.4
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import transfer

from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import weigh
from spine_ignite.inference.levels.likelihood import KnownColumn, fit, likelihood
from spine_ignite.inference.levels.naming import infer
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.labels import load_scheme
from spine_ignite.volumes.volume import read_image

_ORDER = ("L5", "L4", "L3", "L2", "L1", *(f"T{number}" for number in range(12, 0, -1)))
_FOLDS = 4
_OVERLAP = 0.3  # of a piece that must be labelled in the reference


def main() -> None:
    """Predict, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with train/ and test/")
    parser.add_argument("--scheme", default="lumbar-vertebrae", help="of the references")
    parser.add_argument(
        "--try", dest="trials", action="append", default=[], help="exponents a=b with commas; repeat it"
    )
    options = parser.parse_args()
    predictor = load_predictor(options.run, InferenceOptions(postprocess=("levels",), device="cpu"))
    reference = {c.value: c.name for c in load_scheme(options.scheme).classes if c.kind == "vertebra"}
    columns: dict[str, KnownColumn] = {}
    for folder in options.folders:
        for image, mask in transfer.pairs(folder, "both"):
            column = predictor.segment(read_image(image)).column
            known = know(column, np.asarray(nib.load(mask).dataobj), reference) if column is not None else None
            if known is None:
                print(f"{image}: no column, or no L5 in it")
            else:
                columns[transfer.digest(image)] = known
    known_columns = list(columns.values())
    for trial in ["", *options.trials]:
        weights = replace(Weights(), **{k: float(v) for k, v in (w.split("=") for w in trial.split(",") if w)})
        print(
            f"{trial or 'as they are'}: {right(weights, known_columns)} of {len(known_columns)} right, "
            f"mean log posterior of the truth {likelihood(weights, known_columns):.3f}"
        )
    order = np.random.default_rng(0).permutation(len(known_columns))
    found = 0
    for fold in range(_FOLDS):
        held_out = [known_columns[i] for i in order[fold::_FOLDS]]
        weights = fit(Weights(), [known_columns[i] for i in np.setdiff1d(order, order[fold::_FOLDS])])
        found += right(weights, held_out)
        print(f"fitted without fold {fold}: {weights.to_dict()}")
    print(f"fitted out of fold: {found} of {len(known_columns)} right")


def know(column: Column, mask: transfer.Labels, reference: dict[int, str]) -> KnownColumn | None:
    """Return a column with its true naming: by the piece that is the reference's L5, and the order above it."""
    if column.evidence is None:
        return None
    inside = mask[column.found.box]
    for lowest, piece in enumerate(column.found.vertebrae):
        here = inside[column.found.ids == piece.id]
        labelled = here[np.isin(here, list(reference))]
        if len(labelled) > _OVERLAP * len(here) and reference[int(np.bincount(labelled).argmax())] == _ORDER[0]:
            count = len(column.found.vertebrae)
            truth = tuple(() if i < lowest else (_ORDER[i - lowest],) for i in range(count))
            return KnownColumn(column.evidence, SchemeLevels(column.scheme), truth)
    return None


def right(weights: Weights, columns: list[KnownColumn]) -> int:
    """Return in how many columns each vertebra has its name."""
    count = 0
    for known in columns:
        naming = infer(weigh(known.evidence, known.levels, weights)).namings[0][0]
        count += all(here == there for here, there in zip(naming, known.truth, strict=True) if there)
    return count


if __name__ == "__main__":
    main()
