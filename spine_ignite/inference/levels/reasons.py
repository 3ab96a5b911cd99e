"""Why a column cannot be trusted blindly, in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spine_ignite.inference.levels.assumptions import COUNTS
from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.evidence import Evidence
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.impossible import impossible
from spine_ignite.inference.levels.naming import Naming, Posterior
from spine_ignite.inference.levels.pieces import Found
from spine_ignite.inference.levels.ribs import rib_odds, shows_lowest_rib
from spine_ignite.inference.levels.sequence import VARIANTS, SchemeLevels

_FEWEST = 3  # vertebrae that a column must show for its distances to be known
_LIKELY = 0.05  # probability from which another naming is told
_UNSURE = 0.8  # share of a vertebra's names that agree, below which it is told that they do not
# Of the lumbar vertebrae: where the share that agrees is below _TORN in one, or below _DIVIDED on average, the network
# has two namings in mind, which the posterior, in which names count for little, tells too little of. Chosen on
# phantoms, of which most that are divided so have a sixth lumbar vertebra, or no fifth.
_TORN, _DIVIDED = 0.7, 0.9
# Above T10 so many whose names differ within the vertebra: networks know upper thoracic vertebrae the least.
_UPPER, _SEVERAL = 10, 3
_RIB = 2.0  # odds (their logarithm) for or against a rib from which it contradicts the level
_TIGHT = 0.35  # of the usual distance that lacks between the sacrum and the lowest vertebra where they look fused


@dataclass(frozen=True, slots=True)
class Reason:
    """What speaks against the naming of a column.

    Args:
        text: in words.
        asks: whether the column is asked about for it, however sure the naming is of itself: what the model takes for
            granted does not hold. Other doubts lower the posterior.
    """

    text: str
    asks: bool = False


def reasons(column: Column) -> list[Reason]:
    """Return what speaks against the naming of a column; of a sure one nothing."""
    never = [Reason(text, asks=True) for text in impossible(column)]
    if column.posterior is None or column.evidence is None:
        return [*never, Reason("no column whose levels could be named was found", asks=True)]
    found, evidence, posterior = column.found, column.evidence, column.posterior
    levels = SchemeLevels(column.scheme)
    return [
        *never,
        *_of_the_field_of_view(found, evidence, levels, posterior.best),
        *_of_the_sacrum(found, evidence, posterior.best),
        *_of_the_ribs(evidence, posterior.best),
        *_of_variants(posterior),
        *_of_shifts(posterior),
        *_of_pieces(column, posterior.best, evidence, levels),
    ]


def _of_the_field_of_view(found: Found, evidence: Evidence, levels: SchemeLevels, naming: Naming) -> Iterator[Reason]:
    if len(found.vertebrae) < _FEWEST:
        count = "one vertebra is" if len(found.vertebrae) == 1 else "two vertebrae are"
        yield Reason(f"only {count} seen", asks=True)
    by_rib = shows_lowest_rib(rib_odds(evidence.ribs, Weights()), naming)
    but = ": the levels are counted from the lowest rib" if by_rib else ""
    if not levels.sacra:
        yield Reason("the labels have no sacrum to count from")
    elif found.sacrum is None:
        lacking = "no sacrum was found" if evidence.visible else "the sacrum is not in the field of view"
        yield Reason(f"{lacking}{but}", asks=not by_rib)
    elif evidence.sacrum is None:
        yield Reason(f"too little of the sacrum is seen{but}", asks=not by_rib)


def _of_the_sacrum(found: Found, evidence: Evidence, naming: Naming) -> Iterator[Reason]:
    if evidence.sacrum is None or not naming[0]:
        return
    lowest = naming[0][0]
    if evidence.sacrum < -_TIGHT:
        yield Reason(f"{lowest} and S1 look fused", asks=True)
    if found.sacrum is not None and found.sacrum.height > found.vertebrae[0].height:
        yield Reason("what is called the sacrum does not lie below the vertebrae", asks=True)


def _of_the_ribs(evidence: Evidence, naming: Naming) -> Iterator[Reason]:
    """Tell ribs that contradict the naming where the lumbar vertebrae end."""
    odds = rib_odds(evidence.ribs, Weights())
    for names, chance in zip(naming, odds, strict=True):
        if names and names[0].startswith("L") and chance > _RIB:
            yield Reason(f"a rib is seen beside {names[0]}", asks=True)
        elif names and names[-1] in ("T11", "T12", "T13") and chance < -_RIB:
            yield Reason(f"no rib is seen beside {names[-1]}")  # which may be short


def _of_variants(posterior: Posterior) -> Iterator[Reason]:
    """Tell other numbers of vertebrae, where what is seen supports them more than their prevalence does."""
    for part, name in (("lumbar", "lumbar"), ("thoracic", "thoracic")):
        chances: dict[int, float] = {}
        prior: dict[int, float] = {}
        for variant, chance in zip(VARIANTS, posterior.variants, strict=True):
            count = getattr(variant, part)
            chances[count] = chances.get(count, 0.0) + float(chance)
            prior[count] = prior.get(count, 0.0) + variant.prior
        best = max(chances, key=lambda count: chances[count])
        usual = max(prior, key=lambda count: prior[count])
        if best != usual:
            yield Reason(f"{COUNTS[best]} {name} vertebrae fit best")
        for count, chance in chances.items():
            if count != best and chance > max(_LIKELY, 2 * prior[count]):
                how = "fit as well" if chance > 0.2 else "are possible"
                yield Reason(f"{COUNTS[count]} {name} vertebrae {how}")


def _of_shifts(posterior: Posterior) -> Iterator[Reason]:
    best = _lowest(posterior.best)
    others: dict[str, float] = {}
    for naming, chance in posterior.namings:
        name = _lowest(naming)
        if name is not None and name != best:
            others[name] = others.get(name, 0.0) + chance
    for name, chance in sorted(others.items(), key=lambda item: -item[1]):
        if chance > _LIKELY:
            yield Reason(f"the lowest vertebra may be {name} (probability {chance:.2f})")


def _of_pieces(column: Column, naming: Naming, evidence: Evidence, levels: SchemeLevels) -> Iterator[Reason]:
    known = [(place, names) for place, names in enumerate(naming) if names]
    for (low, below), (high, above) in itertools.pairwise(known):
        gap = evidence.height[high] - evidence.height[low] - (len(below) + len(above)) / 2
        if gap > 0.5 and not _follow(below[-1], above[0]):
            yield Reason(f"a vertebra between {below[-1]} and {above[0]} was not found", asks=True)
    for place, names in enumerate(naming):
        if not names and evidence.weight[place] == 1:
            yield Reason("a piece that is called a vertebra does not fit the column", asks=True)
        if len(names) == 2:
            yield Reason(f"{names[1]} and {names[0]} are one piece", asks=True)
        for name in names:
            if name not in levels.vertebrae:
                yield Reason(f"{name} is not in the label scheme", asks=True)
    shares = evidence.names[:, list(levels.vertebrae.values())]
    agreed = shares.max(axis=1) / np.maximum(shares.sum(axis=1), 1e-9)
    doubtful = [names[0] for names, share in zip(naming, agreed, strict=True) if names and share < _UNSURE]
    if doubtful:
        yield Reason(f"the names of {', '.join(doubtful)} differ within the vertebra")
    upper = [name for name in doubtful if name.startswith("T") and int(name[1:]) < _UPPER]
    if len(upper) >= _SEVERAL:
        yield Reason("the names of the upper thoracic vertebrae are those of two namings", asks=True)
    counted = [agreed[place] for place, names in known if names[0].startswith("L") or names[0] == "T12"]
    if counted and (min(counted) < _TORN or float(np.mean(counted)) < _DIVIDED):
        # Also where the sacrum and the lowest rib say the same: 6 of 52 phantoms were wrong all the same.
        yield Reason("the names of the lumbar vertebrae are those of two namings", asks=True)
    changed = [
        names[0]
        for place, names in known
        if names[0] in levels.vertebrae and shares[place].max() > evidence.names[place, levels.vertebrae[names[0]]]
    ]
    if len(changed) > len(known) / 2:
        yield Reason("most vertebrae were called otherwise before", asks=True)


def _follow(below: str, above: str) -> bool:
    return any(
        below in variant.levels
        and above in variant.levels
        and variant.levels.index(above) == variant.levels.index(below) + 1
        for variant in VARIANTS
    )


def _lowest(naming: Naming) -> str | None:
    return next((names[0] for names in naming if names), None)
