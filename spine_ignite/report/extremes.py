"""The worst and the best cases of an evaluation, with their volumes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import load_config
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.datasets.sources import Source, elsewhere, find_configured, source_of, sources_of
from spine_ignite.errors import DataError, SpineIgniteError
from spine_ignite.evaluation.case_results import CaseResult
from spine_ignite.evaluation.known_voxels import voxel_confusion
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.labels import LabelScheme
from spine_ignite.report.run_record import RunRecord
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.contrasts import contrasts_sha256
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.volume import Reading, Volume, read_image, read_label, reading_of

Indices = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Extreme:
    """A case and how it ranks.

    Args:
        result: its figures.
        rank: ``worst``, ``2nd best`` … among the cases of the evaluation.
    """

    result: CaseResult
    rank: str


@dataclass(frozen=True, slots=True)
class ShownCase:
    """A case with its volumes ``(I, J, K)``, image, reference and prediction on one grid; labels are class indices."""

    extreme: Extreme
    image: Volume
    reference: Indices
    prediction: Indices

    @property
    def name(self) -> str:
        """The case's name."""
        return self.extreme.result.case

    @property
    def grid(self) -> SliceGrid:
        """How the volumes become sagittal slices."""
        return SliceGrid.from_geometry(self.image.array.shape, self.image.affine)

    @property
    def middle(self) -> int:
        """The sagittal slice with most of the spine."""
        found = self.grid.label_to_slices(np.maximum(self.reference, self.prediction))
        return int((found > 0).sum(axis=(1, 2)).argmax())

    @property
    def centre(self) -> tuple[float, float, float]:
        """A point of the spine in that slice, RAS+ mm: the voxel nearest to the middle of all that it has there."""
        grid = self.grid
        found = grid.label_to_slices(np.maximum(self.reference, self.prediction))
        places = np.argwhere(found[self.middle] > 0)
        if not len(places):
            places = np.array(grid.native_size)[None] // 2
        row, column = places[((places - places.mean(0)) ** 2).sum(1).argmin()]
        marked = np.zeros(found.shape, bool)
        marked[self.middle, row, column] = True
        (voxel,) = np.argwhere(grid.to_volume(marked))
        x, y, z = (self.image.affine @ [*voxel, 1])[:3]
        return float(x), float(y), float(z)


def extremes(results: Sequence[CaseResult], count: int) -> list[Extreme]:
    """Return up to ``count`` cases by mean Dice: the worst, the best, the second worst, the second best, and so on.

    A case without any structure has no Dice and is left out.
    """
    ranked = sorted((r for r in results if not math.isnan(r.dice)), key=lambda result: result.dice)
    chosen: list[Extreme] = []
    for place in range(min(count, len(ranked))):
        number, at_top = place // 2, place % 2 == 1
        result = ranked[-1 - number] if at_top else ranked[number]
        chosen.append(Extreme(result, _rank(number, "best" if at_top else "worst") if len(ranked) > 1 else "only case"))
    return chosen


def load_cases(
    record: RunRecord,
    chosen: Sequence[Extreme],
    scheme: LabelScheme,
    data: Path | None = None,
    masks: LabelScheme | None = None,
) -> Iterator[ShownCase | str]:
    """Yield each case with its volumes, or a sentence that says why it cannot be shown.

    Args:
        record: the run.
        chosen: its cases to show.
        scheme: the values of its predictions.
        data: the dataset that was judged; default the one of the run.
        masks: scheme of that dataset's masks, if they are not in that of the run's.
    """
    try:
        config = load_config(record.directory.config)
        sources = (elsewhere(config.data, data, masks),) if data is not None else sources_of(config.data)
        contrasts = config.data.contrasts
        dataset = find_cases(data, contrasts=contrasts)[0] if data is not None else find_configured(config.data)
        cases = {case.name: case for case in dataset.cases}
        recorded = {} if data is not None or record.made_of is None else record.made_of.images
    except SpineIgniteError as error:
        yield f"No case can be shown: {error}; name the folder that was judged with --data."
        return
    for extreme in chosen:
        name = extreme.result.case
        try:
            if name not in cases:
                raise DataError("it is not among the dataset's cases; name the folder that was judged with --data")
            if recorded.get(name) not in (None, contrasts_sha256(cases[name].image, cases[name].images)):
                raise DataError("its image is another one than when the run began")
            yield _load(record, extreme, cases[name], source_of(cases[name], sources), reading_of(config.data))
        except SpineIgniteError as error:
            yield f"Case {name} cannot be shown: {error}."


def _load(record: RunRecord, extreme: Extreme, case: Case, source: Source, reading: Reading) -> ShownCase:
    ((_, predicted),) = case_jobs([case], record.directory.predictions / record.split)
    assert case.label is not None
    image = read_image(case.image, reading)
    paths = (case.label, predicted)
    arrays = [aligned(read_label(path, reading), image) for path in paths]
    scheme, labelled = source.mapping.target, None if source.labels_all else source.labelled
    reference, prediction = source.indices(arrays[0]), scheme.to_indices(arrays[1])
    confusion = voxel_confusion(reference, prediction, scheme.num_classes, labelled)
    if not np.array_equal(confusion, extreme.result.confusion):
        raise DataError("its mask or prediction has changed since it was judged; evaluate the run again")
    return ShownCase(extreme, image, reference, prediction)


def _rank(number: int, what: str) -> str:
    """Say ``worst``, ``2nd worst``, ``3rd worst`` and so on."""
    ordinal = number + 1
    if ordinal == 1:
        return what
    ending = "th" if ordinal % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(ordinal % 10, "th")
    return f"{ordinal}{ending} {what}"
