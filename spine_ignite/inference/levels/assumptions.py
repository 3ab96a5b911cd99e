"""What the naming of a column takes for granted, since nothing in the picture shows it."""

from __future__ import annotations

from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.renaming import likeliest_variant
from spine_ignite.inference.levels.ribs import rib_odds, shows_lowest_rib
from spine_ignite.inference.levels.sequence import VARIANTS

COUNTS = {4: "four", 5: "five", 6: "six", 11: "eleven", 12: "twelve", 13: "thirteen"}


def assumptions(column: Column) -> list[str]:
    """Return what is taken for granted of the numbers of vertebrae, in words; of a column without a naming nothing.

    How many thoracic vertebrae there are is seen where T1 is, and how many lumbar ones where the lowest rib is and the
    sacrum: otherwise the usual number is the likeliest, and a vertebra more or less above or below goes unseen. What a
    person said of a lumbar level tells the lumbar number, and what was said of a thoracic one both.
    """
    if column.posterior is None or column.evidence is None:
        return []
    given = [*column.given.levels.values(), *([column.given.lowest] if column.given.lowest else [])]
    naming = column.posterior.best
    levels = [level for names in naming for level in names]
    order = VARIANTS[likeliest_variant(column.posterior)]
    found = []
    if any(level.startswith("L") for level in levels) and not given:
        ribs = rib_odds(column.evidence.ribs, Weights())
        if column.evidence.sacrum is None or not shows_lowest_rib(ribs, naming):
            found.append(f"{COUNTS[order.lumbar]} lumbar vertebrae: sacrum and lowest rib were not seen together")
    said = any(level.startswith("T") for level in given)
    if any(level.startswith("T") for level in levels) and "T1" not in levels and not said:
        found.append(f"{COUNTS[order.thoracic]} thoracic vertebrae: T1 was not seen")
    return found
