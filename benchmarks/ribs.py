"""How often a network sees a rib beside a thoracic vertebra, and beside a lumbar one, and what that should count for.

On phantoms that it has not seen, whose levels are known (counted from twelve thoracic vertebrae), and on real scans
whose references name the vertebrae. The weights of ribs are fitted on the phantoms, each quarter judged by the others.

    python benchmarks/ribs.py ready --phantoms 200 --folders T1 T2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import transfer
from certificates import as_if_twelve
from naming_weights import know, right

from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.likelihood import KnownColumn, fit, likelihood
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import VARIED, make_phantom
from spine_ignite.volumes.volume import Volume, read_image

SEED = 20_263  # of no other phantoms
FITTED = ("ribs", "rib_even", "rib_most")
FOLDS = 4
THRESHOLDS = (0.1, 0.4, 1.0)
GROUPS = {
    "L6 to L2": ("L6", "L5", "L4", "L3", "L2"),
    "L1": ("L1",),
    "T12": ("T12",),
    "T11 and above": tuple(f"T{number}" for number in range(11, 0, -1)),
}


def main() -> None:
    """Predict, count, fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--phantoms", type=int, default=200)
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="folders with train/ and test/")
    parser.add_argument("--scheme", default="lumbar-vertebrae", help="of their references")
    options = parser.parse_args()
    predictor = load_predictor(options.run, InferenceOptions(postprocess=("levels",), device="cpu"))
    phantoms = [known for n in range(options.phantoms) if (known := of_phantom(predictor, n)) is not None]
    if phantoms:
        show("phantoms", phantoms)
    reference = {c.value: c.name for c in load_scheme(options.scheme).classes if c.kind == "vertebra"}
    for folder in options.folders:
        columns = list(of_folder(predictor, folder, reference))
        show(str(folder), columns)
        judge("as they are", Weights(), columns)
    if phantoms:
        judge("as they are", Weights(), phantoms)
        for fold in range(FOLDS):
            others = [known for number, known in enumerate(phantoms) if number % FOLDS != fold]
            weights = fit(Weights(), others, FITTED)
            told = ", ".join(f"{name} {getattr(weights, name):.2f}" for name in FITTED)
            judge(f"without fold {fold} fitted {told}", weights, phantoms[fold::FOLDS])


def of_phantom(predictor: Predictor, number: int) -> KnownColumn | None:
    """Return a phantom's column with the level that most of each piece is, if it has one."""
    phantom = make_phantom(SEED, 0, number, None, VARIED)
    names = [vertebra.name for vertebra in phantom.spine.vertebrae]
    truth = as_if_twelve(predictor.scheme.to_indices(phantom.label), names, predictor.scheme)
    column = predictor.segment(Volume(phantom.image.astype(np.float32), phantom.affine, Path(f"{number}"))).column
    if column is None or column.evidence is None:
        return None
    levels = SchemeLevels(predictor.scheme)
    called = {index: (level,) for level, index in levels.vertebrae.items()}
    inside, ids = truth[column.found.box], column.found.ids
    naming = tuple(called.get(int(np.bincount(inside[ids == v.id]).argmax()), ()) for v in column.found.vertebrae)
    return KnownColumn(column.evidence, levels, naming)


def of_folder(predictor: Predictor, folder: Path, reference: dict[int, str]) -> Iterator[KnownColumn]:
    """Yield the columns of a folder, each image once."""
    pairs = {transfer.digest(image): (image, mask) for image, mask in transfer.pairs(folder, "both")}
    for image, mask in pairs.values():
        column = predictor.segment(read_image(image)).column
        known = None if column is None else know(column, np.asarray(nib.load(mask).dataobj), reference)
        if known is not None:
            yield known


def show(title: str, columns: list[KnownColumn]) -> None:
    """Print shares of sides, and of vertebrae that are looked at on both."""
    seen = [
        (names[0], ribs)
        for known in columns
        for names, ribs in zip(known.truth, known.evidence.ribs, strict=True)
        if names
    ]
    print(f"{title}: {len(columns)} columns, {len(seen)} vertebrae")
    for name, levels in GROUPS.items():
        sides = np.array([ribs for level, ribs in seen if level in levels]).reshape(-1, 2)
        known_sides = sides[~np.isnan(sides)]
        both = sides[~np.isnan(sides).any(axis=1)]
        print(f"  {name}: {len(sides)}, {len(known_sides)} sides of these looked at; a rib of at least")
        for least in THRESHOLDS:
            one, two = known_sides >= least, (both >= least).sum(axis=1)
            print(
                f"    {least} ml on {one.sum()} sides ({one.mean():.3f}); of {len(two)} looked at on both sides "
                + ", ".join(f"{(two == count).mean():.3f} on {count}" for count in (0, 1, 2))
            )


def judge(title: str, weights: Weights, columns: list[KnownColumn]) -> None:
    """Print how many columns are named right, and how likely the truth was."""
    print(
        f"{title}: {right(weights, columns)} of {len(columns)} right, "
        f"mean log posterior of the truth {likelihood(weights, columns):.3f}"
    )


if __name__ == "__main__":
    main()
