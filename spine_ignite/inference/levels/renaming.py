"""The best naming becomes the label map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.boxes import voxels_of
from spine_ignite.inference.levels.hypotheses import state_of
from spine_ignite.inference.levels.naming import Naming, Posterior
from spine_ignite.inference.levels.pieces import Found, Instance
from spine_ignite.inference.levels.sequence import SACRUM, VARIANTS, SchemeLevels

Indices = NDArray[np.uint8]
_BEYOND = 0.55  # of the distance of neighbours: further from a vertebra's middle lies the next one


def rename(
    indices: Indices, found: Found, posterior: Posterior, levels: SchemeLevels
) -> tuple[Indices, dict[int, str | None]]:
    """Give each piece the class of its level.

    Args:
        indices: class indices of the box of what was found.
        found: the pieces.
        posterior: of their namings.
        levels: of the scheme.

    A level that the scheme does not have, and what is no vertebra, becomes background. Fragments that belong to no
    piece follow the vertebra at their height. A piece that is two vertebrae is cut in its middle. What lies in the
    highest or the lowest piece, but beyond the disc that follows it, is the sliver of the next that the field of view
    shows.

    Returns:
        Class indices of the box, and the level of each piece by its number, None for none.
    """
    naming = posterior.best
    names: dict[int, str | None] = {
        piece.id: "-".join(reversed(known)) if known else None
        for piece, known in zip(found.vertebrae, naming, strict=True)
    }
    disc_names = name_discs(found, posterior)
    table = np.zeros(int(found.ids.max()) + 1, np.uint8)
    kept = np.zeros(len(table), bool)
    for piece, known in zip(found.vertebrae, naming, strict=True):
        table[piece.id] = levels.vertebrae.get(known[0], 0) if known else 0
    for disc in found.discs:
        name = disc_names[disc.id]
        names[disc.id] = name
        table[disc.id] = levels.discs.get(name, 0) if name is not None else 0
        kept[disc.id] = name is None
    if found.sacrum is not None:
        names[found.sacrum.id] = SACRUM
        kept[found.sacrum.id] = True
    result = indices.copy()
    owned = found.ids > 0
    numbers = found.ids[owned]
    result[owned] = np.where(kept[numbers], indices[owned], table[numbers])
    _cut_merged(result, found, naming, levels)
    _rename_fragments(result, indices, found, table, levels)
    _rename_beyond(result, found, naming, levels, VARIANTS[likeliest_variant(posterior)].levels)
    return result, names


def name_discs(found: Found, posterior: Posterior) -> dict[int, str | None]:
    """Return the name ``upper/lower`` of each disc by the vertebra next to it; None for one that is next to none."""
    order = VARIANTS[likeliest_variant(posterior)].levels
    known = [(piece, names) for piece, names in zip(found.vertebrae, posterior.best, strict=True) if names]
    steps = np.diff([piece.height for piece, _ in known])
    usual = float(np.median(steps)) if len(steps) else 35.0
    named: dict[int, str | None] = {}
    for disc in found.discs:
        above = [item for item in known if 0 < item[0].height - disc.height < usual]
        below = [item for item in known if 0 <= disc.height - item[0].height < usual]
        named[disc.id] = None
        if above and (not below or _is_nearer(disc, above[0][0], below[-1][0])):
            named[disc.id] = _disc_below(above[0][1][0], order)
        elif below:
            place = order.index(below[-1][1][-1]) + 1
            named[disc.id] = f"{order[place]}/{below[-1][1][-1]}" if place < len(order) else None
    return named


def likeliest_variant(posterior: Posterior) -> int:
    """Return the likeliest variant of the spine that allows the best naming."""
    allowed = [
        variant
        for variant in range(len(VARIANTS))
        if all(state_of(variant, names) is not None for names in posterior.best if names)
    ]
    return max(allowed, key=lambda variant: float(posterior.variants[variant]))


def _is_nearer(disc: Instance, above: Instance, below: Instance) -> bool:
    return above.height - disc.height <= disc.height - below.height


def _disc_below(level: str, order: tuple[str, ...]) -> str:
    place = order.index(level)
    return f"{level}/{order[place - 1] if place else SACRUM}"


def _cut_merged(result: Indices, found: Found, naming: Naming, levels: SchemeLevels) -> None:
    for piece, known in zip(found.vertebrae, naming, strict=True):
        if len(known) == 2:
            voxels = voxels_of(found.ids == piece.id)
            upper = _heights(voxels, found) > sum(piece.extent) / 2
            result[tuple(axis[upper] for axis in voxels)] = levels.vertebrae.get(known[1], 0)


def _rename_fragments(
    result: Indices,
    indices: Indices,
    found: Found,
    table: Indices,
    levels: SchemeLevels,
) -> None:
    voxels = _vertebra_voxels(indices, found.ids == 0, levels)
    if len(voxels[0]):
        middles = np.array([piece.height for piece in found.vertebrae])
        nearest = np.searchsorted((middles[:-1] + middles[1:]) / 2, _heights(voxels, found))
        result[voxels] = table[np.array([piece.id for piece in found.vertebrae])[nearest]]


def _rename_beyond(result: Indices, found: Found, naming: Naming, levels: SchemeLevels, order: tuple[str, ...]) -> None:
    """Name what lies beyond the ends: the next vertebra is half of the last distance away.

    Of bodies alone: arches and processes reach that far.
    """
    if len(found.vertebrae) < 2 or levels.scheme.vertebrae != "body":
        return
    middles = np.array([piece.height for piece in found.vertebrae])
    ends = (found.ids == 0) | (found.ids == found.vertebrae[0].id) | (found.ids == found.vertebrae[-1].id)
    voxels = _vertebra_voxels(result, ends, levels)
    heights = _heights(voxels, found)
    above, below = naming[-1], naming[0]
    for names, beyond, step in (
        (above, heights > middles[-1] + _BEYOND * (middles[-1] - middles[-2]), 1),
        (below, heights < middles[0] - _BEYOND * (middles[1] - middles[0]), -1),
    ):
        place = order.index(names[-1 if step > 0 else 0]) + step if len(names) == 1 else -1
        if 0 <= place < len(order):
            result[tuple(axis[beyond] for axis in voxels)] = levels.vertebrae.get(order[place], 0)


def _vertebra_voxels(indices: Indices, among: NDArray[np.bool_], levels: SchemeLevels) -> tuple[NDArray[np.intp], ...]:
    """Return the voxels of a mask that are called a vertebra; background, most of a volume, is left out first."""
    voxels = voxels_of(among & (indices > 0))
    called = np.isin(indices[voxels], list(levels.vertebrae.values()))
    return tuple(axis[called] for axis in voxels)


def _heights(voxels: tuple[NDArray[np.intp], ...], found: Found) -> NDArray[np.float64]:
    assert found.curve is not None  # there are vertebrae
    return found.curve.heights(np.stack(voxels, axis=1) @ found.affine[:3, :3].T + found.affine[:3, 3])
