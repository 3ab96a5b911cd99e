"""Levels of the spine from the sacrum up, how many of each a person has, and which class of a scheme is which."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

from spine_ignite.labels import LabelScheme
from spine_ignite.labels.dataset_json import structure

SACRUM = "S"
# Numbers of lumbar and thoracic vertebrae with their prevalence. Of 418 persons whose whole spine was seen, 18 (4.3 %)
# had one mobile vertebra more than 24, 14 (3.3 %) one less, and besides 8 (1.9 %) had L5 joined to the sacrum and
# 4 (1.0 %) S1 parted from it: Tins and Balain, Insights Imaging 7:199 (2016), doi 10.1007/s13244-016-0468-7. They do
# not say which region has the vertebra more or less; here two of three times the lumbar one.
LUMBAR_COUNTS = {4: 0.041, 5: 0.92, 6: 0.039}
THORACIC_COUNTS = {11: 0.011, 12: 0.975, 13: 0.014}
_CERVICAL = tuple(f"C{number}" for number in range(7, 0, -1))


@dataclass(frozen=True, slots=True)
class Variant:
    """A spine with its numbers of vertebrae.

    Args:
        lumbar: how many lumbar vertebrae it has.
        thoracic: how many thoracic ones.
        prior: prevalence.
    """

    lumbar: int
    thoracic: int
    prior: float

    @property
    def levels(self) -> tuple[str, ...]:
        """Names from the one on the sacrum up."""
        lumbar = [f"L{number}" for number in range(self.lumbar, 0, -1)]
        return (*lumbar, *(f"T{number}" for number in range(self.thoracic, 0, -1)), *_CERVICAL)


VARIANTS = tuple(
    Variant(lumbar, thoracic, one * other)
    for (lumbar, one), (thoracic, other) in itertools.product(LUMBAR_COUNTS.items(), THORACIC_COUNTS.items())
)


@dataclass(frozen=True)
class SchemeLevels:
    """What the classes of a scheme are called along the column, whatever their spelling in it."""

    scheme: LabelScheme

    @cached_property
    def vertebrae(self) -> dict[str, int]:
        """Class index of each level that the scheme has, from the lowest up."""
        return {structure(c.name)[1]: c.index for c in self.scheme.classes if c.kind == "vertebra"}

    @cached_property
    def discs(self) -> dict[str, int]:
        """Class index of each disc, which goes by its name ``L4/L5`` (upper before lower)."""
        found = {}
        for entry in self.scheme.classes:
            if entry.kind == "disc":
                kind, name = structure(entry.name)
                found[name if kind == "disc" else structure(f"disc {entry.name}")[1]] = entry.index
        return found

    @cached_property
    def sacra(self) -> tuple[int, ...]:
        """Class indices of the sacrum."""
        return tuple(c.index for c in self.scheme.classes if c.kind == "sacrum")

    @property
    def are_known(self) -> bool:
        """Whether the vertebrae have names of levels at all."""
        known = {name for variant in VARIANTS for name in variant.levels}
        return bool(self.vertebrae) and set(self.vertebrae) <= known | {"C0"}
