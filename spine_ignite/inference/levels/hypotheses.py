"""Scores of all that a column's pieces could be: arrays over pieces, variants of the spine, and places in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.evidence import Evidence
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.ribs import rib_odds
from spine_ignite.inference.levels.sequence import SACRUM, VARIANTS, SchemeLevels

Floats = NDArray[np.float64]
_PLACES = max(len(variant.levels) for variant in VARIANTS)
_IMPOSSIBLE = -1e9
_MERGED_LENGTH = 2.3  # of one vertebra: two, and the disc between them
_SURE = 0.4  # share of the price of being no vertebra that a small piece has too
_CUT = 0.5  # usual distances by which the middle of what is seen of a vertebra may lie nearer to its neighbour
_FALSE_RUN = 2  # pieces in a row that may be none


@dataclass(frozen=True, slots=True)
class Given:
    """What is known for certain.

    Args:
        levels: level of vertebrae, by their number from 0.
        lowest: level of the lowest vertebra.
    """

    levels: Mapping[int, str]
    lowest: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is."""
        return not self.levels and self.lowest is None


NOTHING = Given({})


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """Logarithms of scores.

    A state is the place of a vertebra from the sacrum up, or in the second half of the states that of the lower one of
    two that are one piece.

    Args:
        start: of the lowest vertebra being piece i, all below being none, with the variant's prior
            ``(pieces, variants, states)``.
        emission: of each piece in each state ``(pieces, variants, states)``.
        step: from piece i to the next vertebra j, ``(states, states)``, by (i, j); pieces between them are none.
        end: of piece i being the last vertebra ``(pieces,)``.
    """

    start: Floats
    emission: Floats
    step: Mapping[tuple[int, int], Floats]
    end: Floats


# Of each state: its lower and upper place, and its middle.
STATES = 2 * _PLACES
_LOWER = np.tile(np.arange(_PLACES), 2)
_UPPER = _LOWER + np.repeat([0, 1], _PLACES)
_MIDDLE = (_LOWER + _UPPER) / 2


_ORDERS = [variant.levels for variant in VARIANTS]


def names_of(variant: int, state: int) -> tuple[str, ...]:
    """Return the level, or levels, that a state of a variant means."""
    levels = _ORDERS[variant]
    return levels[_LOWER[state] : _UPPER[state] + 1]


def state_of(variant: int, names: tuple[str, ...]) -> int | None:
    """Return the state that means these levels in a variant; None if it has none."""
    return _STATES_OF[variant].get(names)


_STATES_OF = [
    {
        names_of(variant, state): state
        for state in range(STATES)
        if len(names_of(variant, state)) == 1 + state // _PLACES
    }
    for variant in range(len(VARIANTS))
]


def weigh(evidence: Evidence, levels: SchemeLevels, weights: Weights, given: Given = NOTHING) -> Hypotheses:
    """Weigh the evidence for every hypothesis.

    Args:
        evidence: of ``N`` pieces, at least one.
        levels: of the scheme.
        weights: of the terms.
        given: what is known.
    """
    pieces = len(evidence.volume)
    emission = _emission(evidence, levels, weights, given)
    false = -weights.false * (_SURE + (1 - _SURE) * evidence.weight) * (1 - _share_of_sacrum(evidence, levels))
    for place in given.levels:
        false[place] = _IMPOSSIBLE
    before = np.concatenate([[0.0], np.cumsum(false)])
    prior = np.log([variant.prior for variant in VARIANTS])
    start = np.empty((pieces, len(VARIANTS), STATES))
    for first in range(pieces):
        start[first] = prior[:, None] + before[first] + _below(first, evidence, weights)[None]
    if given.lowest is not None:
        for variant in range(len(VARIANTS)):
            for state in range(STATES):
                if names_of(variant, state) != (given.lowest,):
                    start[:, variant, state] = _IMPOSSIBLE
        start[1:] = _IMPOSSIBLE
    step = {
        (i, j): _step(evidence, i, j, weights) + before[j] - before[i + 1]
        for i in range(pieces)
        for j in range(i + 1, min(pieces, i + 2 + _FALSE_RUN))
    }
    return Hypotheses(start, emission, step, before[-1] - before[1:])


def _emission(evidence: Evidence, levels: SchemeLevels, weights: Weights, given: Given) -> Floats:
    """Names, those of the discs beside, length and size of each piece in each state."""
    pieces = len(evidence.volume)
    shared = max(1, pieces) ** weights.shared
    of_names = weights.names if levels.discs or levels.sacra else weights.alone
    named = _named(evidence.names, levels.vertebrae, levels.sacra)
    odds = rib_odds(evidence.ribs, weights)[:, None]
    single = [_length(length, 1.0, weights) for length in evidence.length]
    double = [_length(length, _MERGED_LENGTH, weights) - weights.merged for length in evidence.length]
    emission = np.full((pieces, len(VARIANTS), STATES), _IMPOSSIBLE)
    for variant, kind in enumerate(VARIANTS):
        chance = np.stack([named.get(level, np.zeros(pieces)) for level in kind.levels], axis=1)
        pair = chance[:, :-1] + chance[:, 1:]
        places = chance.shape[1]
        exponent = (of_names / shared * evidence.weight)[:, None]
        rib = odds * np.array([level.startswith("T") for level in kind.levels])
        emission[:, variant, :places] = exponent * _log(chance, weights.floor) + np.array(single)[:, None] + rib
        merged = slice(_PLACES, _PLACES + places - 1)
        emission[:, variant, merged] = exponent * _log(pair / 2, weights.floor) + np.array(double)[:, None]
        emission[:, variant, merged] += (rib[:, :-1] + rib[:, 1:]) / 2
        for above, below, names in evidence.discs:
            beside = above if above is not None else below
            if beside is not None:
                score = _disc(names, kind.levels, levels, above is not None, weights.floor)
                emission[beside, variant, :places] += weights.discs / shared * score
        for place, level in given.levels.items():
            known = np.array([names_of(variant, state) == (level,) for state in range(STATES)])
            emission[place, variant, ~known] = _IMPOSSIBLE
    return emission


def _named(names: Floats, classes: Mapping[str, int], others: tuple[int, ...] = ()) -> dict[str, Floats]:
    """Return the probability of each name ``(N,)`` among those of its kind."""
    total = names[:, [*classes.values(), *others]].sum(axis=1)
    return {name: names[:, index] / np.maximum(total, 1e-9) for name, index in classes.items()}


def _share_of_sacrum(evidence: Evidence, levels: SchemeLevels) -> Floats:
    sacra = evidence.names[:, list(levels.sacra)].sum(axis=1)
    total = sacra + evidence.names[:, list(levels.vertebrae.values())].sum(axis=1)
    share: Floats = sacra / np.maximum(total, 1e-9)
    return share


def _disc(names: Floats, order: tuple[str, ...], levels: SchemeLevels, below: bool, floor: float) -> Floats:
    """Score of a disc's names for each place of the vertebra that it lies below, or else above ``(places,)``."""
    named = _named(names[None], levels.discs)
    beneath = (SACRUM, *order[:-1])
    pairs = [f"{upper}/{lower}" for upper, lower in zip(order, beneath, strict=True)]
    if not below:
        pairs = [*pairs[1:], ""]
    return _log(np.array([float(named[pair][0]) if pair in named else 0.0 for pair in pairs]), floor)


def _log(chance: Floats, floor: float) -> Floats:
    return np.log(floor + (1 - floor) * chance)


def _length(length: float, usual: float, weights: Weights) -> float:
    """What is shorter than usual may be cut off or worn: only what is taller speaks against one vertebra."""
    beyond = max(0.0, length - usual) if usual == 1.0 else length - usual
    return _bounded(beyond / (0.25 * usual), weights.stray)


def _bounded(deviation: float, stray: float) -> float:
    return math.log((1 - stray) * math.exp(-0.5 * deviation**2) + stray)


def _below(first: int, evidence: Evidence, weights: Weights) -> Floats:
    """Score of piece ``first`` being the lowest vertebra, for each state: the sacrum, and what was missed below."""
    beneath = _LOWER.astype(float)
    rise = evidence.height[first] - evidence.height[0]
    if evidence.sacrum is None:
        unseen: Floats = -weights.missed * np.minimum(beneath, evidence.visible + rise)
        return unseen
    # The lower half of a merged piece stands on the sacrum; its middle is half a distance higher.
    expected = _MIDDLE
    score = [_bounded((evidence.sacrum + rise - place) / weights.sacrum, weights.odd_sacrum) for place in expected]
    return np.array(score) - weights.missed * beneath


def _step(evidence: Evidence, first: int, second: int, weights: Weights) -> Floats:
    """Score of each pair of states of neighbouring vertebrae ``(states, states)``: order, distance, missed ones."""
    missed = _LOWER[None, :] - _UPPER[:, None] - 1
    distance = evidence.height[second] - evidence.height[first]
    expected = _MIDDLE[None, :] - _MIDDLE[:, None]
    beyond = distance - expected
    if evidence.cut[first] or evidence.cut[second]:
        beyond = np.where(beyond < 0, np.minimum(beyond + _CUT, 0), beyond)
    deviation = beyond / (weights.distance * np.sqrt(np.maximum(expected, 1)))
    score = np.log((1 - weights.stray) * np.exp(-0.5 * np.minimum(deviation**2, 1e3)) + weights.stray)
    return np.where(missed >= 0, score - weights.missed * missed, _IMPOSSIBLE)
