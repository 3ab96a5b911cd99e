"""Judge pairs of label volumes, a prediction and its reference: files, or what is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.postprocess import LEVELS
from spine_ignite.datasets.patients import patient_of
from spine_ignite.datasets.sources import Source, alone
from spine_ignite.errors import DataError, reason
from spine_ignite.evaluation.case_pictures import write_picture
from spine_ignite.evaluation.case_results import TOLERANCE, CaseResult, evaluate_case
from spine_ignite.evaluation.certainty import ColumnResult, column_result
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.table_files import write_tables
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.levels.record import levels_file, read_levels
from spine_ignite.inference.records import vouches_for
from spine_ignite.labels import LabelScheme
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.machine.shared_work import share_out
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.volume import Reading, Volume, read_image, read_label

Progress = Callable[[Any], Any]
Judgement = tuple[CaseResult, ColumnResult | None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and its reference, the image for a picture if there is one, and how the reference is read.

    Args:
        case: its name.
        prediction: label volume.
        reference: label volume.
        source: the dataset of the reference.
        image: what is labelled.
        patient: whose it is; None: what the name of the case tells.
    """

    case: str
    prediction: Path
    reference: Path
    source: Source
    image: Path | None = None
    patient: str | None = None


def judge_pairs(
    pairs: Sequence[Pair],
    scheme: LabelScheme,
    nothing: Summary,
    out: Path | None,
    progress: Progress | None,
    reading: Reading,
    processes: Processes = ALONE,
) -> Summary:
    """Judge pairs; one that cannot be compared is listed in ``failed``.

    Args:
        pairs: of predictions and references; those with an image get a picture in ``out``.
        scheme: the values of the predictions.
        nothing: the summary without cases.
        out: where tables go; None writes nothing.
        progress: wraps the pairs.
        reading: how files are read.
        processes: that share the pairs; all call this with the same, the first writes tables, and all get the summary.

    Raises:
        DataError: no pair can be compared.
    """

    def judge(pair: Pair) -> Judgement | str:
        try:
            result = _judge_pair(pair, scheme, nothing, out, reading)
            return result, _column(pair, result, scheme)
        except Exception as error:  # whatever is wrong with one case, the others are judged
            return reason(error, pair.prediction)

    found = share_out(pairs, judge, processes, size=lambda pair: _bytes(pair.reference), progress=progress)
    judged = [judgement for judgement in found if not isinstance(judgement, str)]
    told = {pair.case: text for pair, text in zip(pairs, found, strict=True) if isinstance(text, str)}
    failed = {**nothing.failed, **told}
    if not judged:
        raise DataError(f"no case can be judged: {next(iter(failed.values()))}")
    columns = tuple(column for _, column in judged if column is not None)
    summary = replace(nothing, cases=tuple(result for result, _ in judged), failed=failed, columns=columns)
    if out is not None and processes.first:
        write_tables(summary, out)
    return summary


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _column(pair: Pair, result: CaseResult, scheme: LabelScheme) -> ColumnResult | None:
    """Hold what is said of the levels beside a prediction against the reference; None where nothing is said."""
    described = read_levels(pair.prediction)
    if described is None:
        return None
    if not vouches_for(pair.prediction, LEVELS, levels_file(pair.prediction)):
        described = {**described, "column": {**described["column"], "verdict": "ask"}}  # it was accepted as another one
    patient = pair.patient if pair.patient is not None else patient_of(pair.case)
    return column_result(pair.case, patient, result.confusion, described, scheme)


def _judge_pair(pair: Pair, scheme: LabelScheme, how: Summary, out: Path | None, reading: Reading) -> CaseResult:
    reference, prediction = (read_label(path, reading) for path in (pair.reference, pair.prediction))
    result, indices = _compare(pair.case, prediction, reference, pair.source, how)
    if out is not None and pair.image is not None:
        image = read_image(pair.image, reading)
        truth, found = (aligned(replace(reference, array=array), image) for array in indices)
        write_picture(out / "pictures" / f"{pair.case}.png", image, truth, found, scheme, result.dice)
    return result


def evaluate_volumes(
    volumes: Sequence[tuple[str, Volume, Volume]],
    scheme: LabelScheme,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    masks: LabelScheme | None = None,
) -> Summary:
    """Judge label volumes that are in memory.

    Args:
        volumes: the name of each case, its prediction and its reference.
        scheme: the values of the predictions, whose classes are judged.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: what the surface measures count, see :func:`.distances.surface_distances`.
        masks: the values of the references, if they are others; classes that it does not have are left out.

    Raises:
        DataError: a pair cannot be compared.
        UsageError: the schemes have no structure in common.
    """
    source = alone(Path(), scheme, masks)
    nothing = Summary((), scheme.names, tolerance, {"scheme": scheme.name}, surfaces=surfaces)
    return replace(nothing, cases=tuple(_compare(*volume, source, nothing)[0] for volume in volumes))


def _compare(
    case: str, prediction: Volume, reference: Volume, source: Source, how: Summary
) -> tuple[CaseResult, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return the result, and the class indices of reference and prediction on the reference's grid."""
    prediction = replace(prediction, array=aligned(prediction, reference, "reference"))
    scheme = source.mapping.target
    indices = _indices(reference, source.indices), _indices(prediction, scheme.to_indices)
    spacing = tuple(float(n) for n in np.linalg.norm(reference.affine[:3, :3], axis=0))
    labelled = None if source.labels_all else source.labelled
    return evaluate_case(case, *indices, spacing, scheme, how.tolerance, how.surfaces, labelled), indices


def _indices(volume: Volume, read: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    try:
        return read(volume.array)
    except DataError as error:
        raise DataError(f"{volume.path}: {error}") from error
