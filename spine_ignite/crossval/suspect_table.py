"""The table of the training cases, those first whose masks are to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.crossval.folds_plan import Plan
from spine_ignite.crossval.out_of_fold import Predictions, how_read, mask_of, mask_source, scheme_of
from spine_ignite.crossval.suspects import Suspicion, suspicions
from spine_ignite.csv_files import csv_text, read_csv
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.sources import Source
from spine_ignite.errors import RunError
from spine_ignite.evaluation.tables import Summary
from spine_ignite.files import write_text
from spine_ignite.labels import IGNORE, LabelScheme
from spine_ignite.runs.folds_directory import FoldsDirectory, cross_validate_command
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.volume import Reading, Volume, read_image, read_label

Indices = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A training case, and what there is to be looked at; a row of ``suspects.csv``.

    Args:
        rank: from 1, the most suspicious.
        case: its name.
        patient: whose it is.
        fold: the fold that held it out.
        score: how far mask and prediction are apart, from 0 to 1; see :mod:`spine_ignite.crossval.suspects`.
        kind: ``levels``, ``missing in mask``, ``missing in prediction``, ``place`` or ``border``.
        label: the structure that is worst.
        slice: the sagittal slice that is worst, from 1 at the patient's right.
        shift: levels by which the whole column is named higher in the prediction.
        dice: mean Dice of the case.
        says: what there is to be looked at, in a sentence.
    """

    rank: int
    case: str
    patient: str
    fold: int
    score: float
    kind: str
    label: str
    slice: int
    shift: int
    dice: float
    says: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A case with its image ``(I, J, K)``, and mask and prediction as class indices on the image's grid."""

    image: Volume
    mask: Indices
    prediction: Indices

    @property
    def grid(self) -> SliceGrid:
        """How the volumes become sagittal slices."""
        return SliceGrid.from_geometry(self.image.array.shape, self.image.affine)


def find_suspects(summary: Summary, plan: Plan, predictions: Predictions) -> tuple[Suspect, ...]:
    """Rank all cases that were judged, the most suspicious first."""
    scheme, reading = scheme_of(plan), how_read(plan)
    patients, fold_of = {case.name: case.patient for case in plan.folds.cases}, plan.folds.fold_of
    found = []
    for rank, suspicion in enumerate(suspicions(summary.cases, scheme), 1):
        case = suspicion.case
        shown = load_shown(predictions.cases[case], predictions, mask_source(plan, predictions.cases[case]), reading)
        fields_ = asdict(suspicion) | {"rank": rank, "patient": patients[case], "fold": fold_of[case]}
        found.append(Suspect(**fields_, slice=_worst_slice(shown, suspicion, scheme) + 1))
    return tuple(found)


def load_shown(case: Case, predictions: Predictions, source: Source, reading: Reading) -> Shown:
    """Read image, mask and prediction of a case of a dataset.

    Raises:
        DataError: one cannot be read.
    """
    image = read_image(case.image, reading)
    paths = (mask_of(case), predictions.results[case.name].output)
    mask, prediction = (aligned(read_label(path, reading), image) for path in paths)
    return Shown(image, source.indices(mask), source.mapping.target.to_indices(prediction))


def write_suspects(directory: FoldsDirectory, suspects: tuple[Suspect, ...]) -> None:
    """Write ``suspects.csv``."""
    columns = [column.name for column in fields(Suspect)]
    rows = ([getattr(suspect, name) for name in columns] for suspect in suspects)
    write_text(directory.suspects, csv_text(columns, rows))


def read_suspects(directory: FoldsDirectory) -> tuple[Suspect, ...]:
    """Read ``suspects.csv``.

    Raises:
        RunError: it is damaged.
    """
    numbers: dict[str, Callable[[str], Any]] = {
        "rank": int,
        "fold": int,
        "score": float,
        "slice": int,
        "shift": int,
        "dice": _number,
    }
    try:
        return tuple(
            Suspect(**{key: numbers.get(key, str)(text) for key, text in row.items()})
            for row in read_csv(directory.suspects)
        )
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{directory.suspects} cannot be read; remove it, and make it again with: "
            f"{cross_validate_command(directory.root)}"
        ) from error


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _worst_slice(shown: Shown, suspicion: Suspicion, scheme: LabelScheme) -> int:
    """The sagittal slice with most voxels in which mask and prediction differ; of a structure, if one is lacking."""
    mask, prediction = (shown.grid.label_to_slices(volume) for volume in (shown.mask, shown.prediction))
    differs = (mask != prediction) & (mask != IGNORE)
    if suspicion.kind.startswith("missing"):
        index = scheme.names.index(suspicion.label)
        differs = (mask == index) != (prediction == index)
    counts = differs.sum(axis=(1, 2))
    return int(counts.argmax())
