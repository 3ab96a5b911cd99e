"""A column of a label map, named: the pieces, the posterior, the new label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.inference.levels.evidence import Evidence, gather, pooled_names
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import NOTHING, Given, weigh
from spine_ignite.inference.levels.instances import find_instances
from spine_ignite.inference.levels.naming import Posterior, infer
from spine_ignite.inference.levels.pieces import Found, nothing_found
from spine_ignite.inference.levels.renaming import rename
from spine_ignite.inference.levels.ribs import ribs_beside
from spine_ignite.inference.levels.sequence import SchemeLevels
from spine_ignite.labels import LabelScheme

Indices = NDArray[np.uint8]
_SCATTERED = 0.5  # of what is labelled as vertebra: with more of it in no piece there is no column
_MOST = 30  # vertebrae that a spine may have, with room for more than the usual ones


@dataclass(frozen=True, slots=True)
class Column:
    """A named column.

    Args:
        indices: class indices with the best naming ``(I, J, K)``; as they were where there is no column.
        found: its pieces.
        evidence: what was known of them; None where there is no column.
        posterior: how likely each naming is; None where there is no column.
        levels: of each piece by its number; None for what is no vertebra, or a disc next to none.
        scheme: of the label map.
        has_probabilities: whether there was more to go by than a label map.
        given: what was known for certain.
        changed: voxels with another class than before.
        pooled: mean probability of each class in each piece ``(pieces, classes)``; None where there is no column.
    """

    indices: Indices
    found: Found
    evidence: Evidence | None
    posterior: Posterior | None
    levels: dict[int, str | None]
    scheme: LabelScheme
    has_probabilities: bool
    given: Given
    changed: int
    pooled: NDArray[np.float64] | None = None

    @property
    def probability(self) -> float:
        """Posterior probability of the whole naming; 0 without a column."""
        return 0.0 if self.posterior is None else self.posterior.namings[0][1]

    @property
    def score(self) -> float:
        """The same, as it is written and compared with a threshold."""
        return round(self.probability, 4)


def name_column(
    indices: Indices,
    affine: NDArray[np.float64],
    scheme: LabelScheme,
    probabilities: NDArray[np.floating] | None = None,
    *,
    pooled: Callable[[Found], NDArray[np.float64] | None] | None = None,
    weights: Weights | None = None,
    knowing: Callable[[Found], Given] | None = None,
) -> Column:
    """Name the pieces of a column by the most likely of all namings.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: of the indices.
        probabilities: of each class at the voxels that are not background, in the array's order ``(M, classes)``;
            without them the shares of names in each piece are all that is known of these.
        pooled: gives the mean probabilities of each piece ``(pieces, classes)`` where they are known from elsewhere,
            else None.
        weights: what each kind of evidence counts for.
        knowing: says what is known for certain of the pieces that are found.

    Raises:
        DataError: what is known cannot be.
    """
    levels = SchemeLevels(scheme)
    found = find_instances(indices, affine, scheme) if levels.are_known else nothing_found(affine)
    given = NOTHING if knowing is None else knowing(found)
    if not 1 <= len(found.vertebrae) <= _MOST or _is_scattered(found, indices[found.box], levels):
        names: dict[int, str | None] = {piece.id: None for piece in found.instances}
        return Column(indices, found, None, None, names, scheme, probabilities is not None, given, 0)
    count = len(found.instances)
    known = None if pooled is None else pooled(found)
    has_probabilities = known is not None or probabilities is not None
    if known is None and probabilities is not None:
        ids = np.zeros(indices.shape, np.int16)
        ids[found.box] = found.ids
        known = pooled_probabilities(ids[indices > 0], probabilities, count)
    elif known is None:
        known = pooled_names(found.ids, indices[found.box], count, scheme.num_classes)
    evidence = gather(found, known, levels, ribs_beside(found, indices, affine, scheme))
    posterior = infer(weigh(evidence, levels, weights or Weights(), given))
    if not posterior.namings:
        raise DataError("no naming of the column fits the levels that are given; check them and their places")
    before = indices[found.box]
    inside, names = rename(before, found, posterior, levels)
    changed = int(np.count_nonzero(inside != before))
    renamed = indices.copy()
    renamed[found.box] = inside
    return Column(renamed, found, evidence, posterior, names, scheme, has_probabilities, given, changed, known)


def pooled_probabilities(
    piece: NDArray[np.int16], probabilities: NDArray[np.floating], count: int
) -> NDArray[np.float64]:
    """Return the mean probability of each class over the voxels of each piece ``(count, classes)``.

    Args:
        piece: number of each voxel's piece ``(M,)``, from 1; 0 for none.
        probabilities: of these voxels ``(M, classes)``.
        count: how many pieces there are.
    """
    sizes = np.maximum(np.bincount(piece, minlength=count + 1)[1:], 1)
    sums = [np.bincount(piece, weights=column, minlength=count + 1)[1:] for column in probabilities.T]
    means: NDArray[np.float64] = np.stack(sums, axis=1) / sizes[:, None]
    return means


def _is_scattered(found: Found, indices: Indices, levels: SchemeLevels) -> bool:
    """Whether most of what is called vertebra lies in no piece, as a weak network makes it."""
    sizes = np.bincount(indices[indices > 0], minlength=levels.scheme.num_classes)
    every = int(sizes[list(levels.vertebrae.values())].sum())
    pieces = int(np.count_nonzero((found.ids > 0) & (found.ids <= len(found.vertebrae))))
    return every - pieces > _SCATTERED * every
