"""Masks of one label scheme in the classes of another.

Classes correspond by the name of the structure (``vertebra_L5`` is ``L5``, ``disc_L5_S`` is ``L5/S``) and by its kind.
Exceptions are declared in a scheme's file (``renamed``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels.dataset_json import structure
from spine_ignite.labels.scheme import IGNORE, Kind, LabelClass, LabelScheme


@dataclass(frozen=True, slots=True)
class SchemeMap:
    """How masks of ``source`` are read in the classes of ``target``.

    Args:
        source: scheme of the masks.
        target: scheme that they are read in.
        table: for each class of ``source`` the index of its counterpart in ``target``; 0, the background, without one.
        renamed: ``(level, index, other)``, classes of ``source`` and of ``target``: in a mask that holds ``level``,
            the class ``index`` is ``other``.
        without: names of ``source``'s structures that have no counterpart.
        notes: where structures of the same name differ in what they cover, a kind and a sentence each.
    """

    source: LabelScheme
    target: LabelScheme
    table: tuple[int, ...]
    renamed: tuple[tuple[int, int, int], ...]
    without: tuple[str, ...]
    notes: tuple[tuple[Kind, str], ...]

    @property
    def reached(self) -> tuple[bool, ...]:
        """For each class of ``target`` whether a mask of ``source`` can hold it; the background always."""
        found = {0, *self.table, *(other for _, _, other in self.renamed)}
        return tuple(index in found for index in range(self.target.num_classes))

    @property
    def is_identity(self) -> bool:
        """Whether class indices stay as they are."""
        return self.table == tuple(range(self.target.num_classes)) and not self.renamed

    def indices(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map class indices of a whole mask, of any shape; :data:`IGNORE` stays."""
        if self.is_identity:
            return indices
        table = np.full(IGNORE + 1, IGNORE, np.uint8)
        table[: len(self.table)] = self.table
        for level, index, other in self.renamed:
            if (indices == level).any():
                table[index] = other
        return table[indices]


def map_scheme(source: LabelScheme, target: LabelScheme) -> SchemeMap:
    """Return how masks of a scheme are read in the classes of another."""
    if source.classes == target.classes:
        return SchemeMap(source, target, tuple(range(target.num_classes)), (), (), ())
    places = {_key(entry): entry.index for entry in target.classes}
    # The target too may have one name for discs that others tell apart.
    places = {
        ("disc", then): places["disc", disc] for _, disc, then in target.renamed if ("disc", disc) in places
    } | places
    table = tuple(0 if entry.index == 0 else places.get(_key(entry), 0) for entry in source.classes)
    renamed = tuple(
        (source.names.index(level), source.names.index(disc), places.get(("disc", then), 0))
        for level, disc, then in source.renamed
    )
    without = tuple(e.name for e, index in zip(source.classes, table, strict=True) if e.index and not index)
    return SchemeMap(source, target, table, renamed, without, tuple(_differences(source, target)))


def _key(entry: LabelClass) -> tuple[str, str]:
    """What tells whether two classes are the same structure: kind and name, in the spelling of the schemes here."""
    return entry.kind, structure(entry.name)[1]


def _differences(source: LabelScheme, target: LabelScheme) -> list[tuple[Kind, str]]:
    said: list[tuple[Kind, str]] = []
    kinds, wanted = ({entry.kind for entry in scheme.classes} for scheme in (source, target))
    if "vertebra" in kinds & wanted and source.vertebrae != target.vertebrae:
        words = {"body": "bodies alone", "whole": "whole, with arch and processes"}
        text = f"vertebrae of {source.name} are {words[source.vertebrae]}, those of {target.name} "
        said.append(("vertebra", text + words[target.vertebrae]))
    if "canal" in kinds & wanted and "cord" in wanted - kinds:
        text = f"the canal of {source.name} may hold the cord, which is a class of its own in {target.name}"
        said.append(("canal", text))
    return said
