"""The clean-up step ``levels``: the column is named as a whole, see :mod:`spine_ignite.inference.levels`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import LabelScheme


def name_levels(
    indices: NDArray[np.uint8],
    affine: NDArray[np.float64],
    scheme: LabelScheme,
    probabilities: NDArray[np.floating] | None = None,
) -> Cleaned:
    """Give every vertebra and disc the level that it has in the most likely naming of the whole column.

    All that is neither is left alone, and so is a volume without a column, or with fragments all over it, as a weak
    network makes them. A vertebra whose level the scheme does not have becomes background.

    Args:
        indices: class indices ``(I, J, K)``.
        affine: voxel indices to RAS+ mm.
        scheme: of the indices.
        probabilities: of each class at the voxels that are not background, in the array's order ``(M, classes)``.
    """
    column = name_column(indices, affine, scheme, probabilities)
    return Cleaned(column.indices, _told(column), column)


def _told(column: Column) -> str:
    if column.posterior is None:
        return "left as it was: no column whose levels could be named"
    what = f"{column.changed} voxels changed level" if column.changed else "levels are in order"
    return f"{what}, with a probability of {min(column.probability, 0.999):.3f}"
