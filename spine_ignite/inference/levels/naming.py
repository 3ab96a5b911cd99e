"""Exact inference over all namings of a column: forward and backward sums, and the best naming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.hypotheses import STATES, Hypotheses, names_of, state_of
from spine_ignite.inference.levels.sequence import VARIANTS

Floats = NDArray[np.float64]
Names = tuple[str, ...]  # of one piece: its level, two for two vertebrae in one piece, none for what is no vertebra
Naming = tuple[Names, ...]
_STARTS = 16  # beginnings from which the best naming is followed
_NEGATIVE = -1e8  # below it a score is impossible


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a column is, and how surely.

    Args:
        namings: the most likely namings of all pieces with their probabilities, the best first; none if all are
            impossible.
        marginals: probability of the names of each piece; ``()`` for no vertebra.
        variants: probability of each of :data:`~spine_ignite.inference.levels.sequence.VARIANTS`.
    """

    namings: tuple[tuple[Naming, float], ...]
    marginals: tuple[dict[Names, float], ...]
    variants: Floats

    @property
    def best(self) -> Naming:
        """The most likely naming."""
        return self.namings[0][0]


def infer(scores: Hypotheses) -> Posterior:
    """Sum over all namings of a column.

    A naming gives each piece a level (or two, or none), upwards in the order of the spine. Its score is a sum over
    neighbouring vertebrae, so that the sums over all namings follow from one pass up and one down (forward-backward:
    Rabiner, Proceedings of the IEEE 77:257, 1989; pieces that are no vertebra are steps over more than one piece).
    Namings that more than one variant of the spine allows are summed over these.

    Args:
        scores: of ``N`` pieces.
    """
    forward, backward = _sums(scores)
    total = _log_sum(forward + scores.end[:, None, None])
    with np.errstate(under="ignore"):
        share = np.exp(forward + backward - total)
    marginals = []
    for piece in share:
        marginal: dict[Names, float] = {}
        for variant, state in zip(*np.nonzero(piece > 1e-6), strict=True):
            names = names_of(int(variant), int(state))
            marginal[names] = marginal.get(names, 0.0) + float(piece[variant, state])
        marginal[()] = max(0.0, 1.0 - float(piece.sum()))
        marginals.append(marginal)
    with np.errstate(under="ignore"):
        variants = np.exp(_log_sum_each(scores.start + scores.emission + backward) - total)
    return Posterior(_likeliest(scores, total), tuple(marginals), variants)


def log_posterior(scores: Hypotheses, naming: Naming) -> float:
    """Return the logarithm of a naming's posterior probability."""
    forward, _ = _sums(scores)
    return score_of(scores, naming) - _log_sum(forward + scores.end[:, None, None])


def score_of(scores: Hypotheses, naming: Naming) -> float:
    """Return the logarithm of a naming's score, summed over the variants that allow it."""
    pieces = [place for place, names in enumerate(naming) if names]
    if not pieces:
        return -np.inf
    of_variants = []
    for variant in range(len(VARIANTS)):
        states = [state_of(variant, naming[place]) for place in pieces]
        if None in states:
            continue
        known = [state for state in states if state is not None]
        score = scores.start[pieces[0], variant, known[0]] + scores.end[pieces[-1]]
        for number, (place, state) in enumerate(zip(pieces, known, strict=True)):
            score += scores.emission[place, variant, state]
            if number:
                pair = (pieces[number - 1], place)
                score += scores.step[pair][known[number - 1], state] if pair in scores.step else -np.inf
        of_variants.append(score)
    return _log_sum(np.array(of_variants)) if of_variants else -np.inf


def _sums(scores: Hypotheses) -> tuple[Floats, Floats]:
    """Return forward sums (with the piece's own emission) and backward sums (without) ``(N, variants, states)``."""
    pieces = len(scores.end)
    forward = scores.start + scores.emission
    backward = np.repeat(scores.end, len(VARIANTS) * STATES).reshape(forward.shape).copy()
    for j in range(pieces):
        for i in range(j):
            if (i, j) in scores.step:
                forward[j] = np.logaddexp(forward[j], _times(forward[i], scores.step[i, j]) + scores.emission[j])
    for i in range(pieces - 1, -1, -1):
        for j in range(i + 1, pieces):
            if (i, j) in scores.step:
                following = _times(scores.emission[j] + backward[j], scores.step[i, j].T)
                backward[i] = np.logaddexp(backward[i], following)
    return forward, backward


def _times(vector: Floats, matrix: Floats) -> Floats:
    """Return the product of ``(variants, states)`` and ``(states, states)`` in logarithms."""
    top = vector.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", under="ignore"):
        product: Floats = np.log(np.exp(vector - top) @ np.exp(matrix)) + top
    return product


def _log_sum(values: Floats) -> float:
    top = float(values.max())
    with np.errstate(under="ignore"):
        return top + float(np.log(np.exp(values - top).sum())) if np.isfinite(top) else top


def _log_sum_each(values: Floats) -> Floats:
    """Sum over pieces and states: ``(variants,)``."""
    return np.array([_log_sum(values[:, variant]) for variant in range(values.shape[1])])


def _likeliest(scores: Hypotheses, total: float) -> tuple[tuple[Naming, float], ...]:
    """Follow the best naming from each of the best beginnings, and sum each over the variants that allow it."""
    best, following = _best_rest(scores)
    beginning = scores.start + scores.emission + best
    order = np.argsort(beginning, axis=None)[::-1][: _STARTS * len(VARIANTS)]
    found: dict[Naming, float] = {}
    for flat in order:
        first, variant, state = (int(n) for n in np.unravel_index(flat, beginning.shape))
        if beginning[first, variant, state] < _NEGATIVE:
            break
        naming: list[Names] = [()] * len(scores.end)
        place: int | None = first
        while place is not None:
            naming[place] = names_of(variant, state)
            ahead = following[place, variant, state]
            place, state = (None, 0) if ahead < 0 else (int(ahead) // STATES, int(ahead) % STATES)
        if tuple(naming) not in found:
            found[tuple(naming)] = float(np.exp(min(0.0, score_of(scores, tuple(naming)) - total)))
            if len(found) == _STARTS:
                break
    return tuple(sorted(found.items(), key=lambda item: -item[1]))


def _best_rest(scores: Hypotheses) -> tuple[Floats, NDArray[np.int64]]:
    """Return the best score of all above each piece in each state, and the piece and state that come next, or -1."""
    shape = scores.emission.shape
    best = np.repeat(scores.end, shape[1] * shape[2]).reshape(shape).copy()
    following = np.full(shape, -1, np.int64)
    for i in range(shape[0] - 1, -1, -1):
        for j in range(i + 1, shape[0]):
            if (i, j) not in scores.step:
                continue
            rest = scores.step[i, j][None] + (scores.emission[j] + best[j])[:, None, :]
            state = rest.argmax(axis=2)
            value = np.take_along_axis(rest, state[..., None], axis=2)[..., 0]
            better = value > best[i]
            best[i][better] = value[better]
            following[i][better] = (j * STATES + state)[better]
    return best, following
