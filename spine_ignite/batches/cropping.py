"""What a size of training slices that is smaller than the slices costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spine_ignite.batches.slice_dataset import overlap
from spine_ignite.datasets.patients import listed
from spine_ignite.labels import IGNORE
from spine_ignite.slices.store import SliceStore, StoredCase


def lost_by_cropping(store: SliceStore, cases: Sequence[StoredCase], size: tuple[int, int]) -> list[str]:
    """Say which share of the structures lies outside the centre of the slices; no sentence if nothing does.

    Args:
        store: the slice store.
        cases: the labelled cases that are trained on.
        size: rows and columns of a training slice.
    """
    lost = {case.name: _voxels_outside(store, case, size) for case in cases}
    names = [name for name, voxels in lost.items() if voxels]
    if not names:
        return []
    share = sum(lost.values()) / sum(sum(case.voxels[1:]) for case in cases)
    rows, columns = np.max([case.size for case in cases], axis=0)
    return [
        f"data.size={size[0]} x {size[1]} cuts off {100 * share:.3g} % of the structures' voxels, in {len(names)} of "
        f"{len(cases)} training cases ({listed(names)}), which are then never learnt; the largest slice has "
        f"{rows} x {columns} pixels: raise data.size or data.spacing, or use data.sampling=patches"
    ]


def _voxels_outside(store: SliceStore, case: StoredCase, size: tuple[int, int]) -> int:
    if all(have <= want for have, want in zip(case.size, size, strict=True)):
        return 0
    rows, columns = (overlap(have, want)[0] for have, want in zip(case.size, size, strict=True))
    label = store.label(case)
    shown = (label[index, rows, columns] for index in case.foreground)
    inside = sum(int(np.count_nonzero((plane > 0) & (plane != IGNORE))) for plane in shown)
    return sum(case.voxels[1:]) - inside
