"""Exponents that fit cases whose levels are known, which no network involved has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.evidence import Evidence
from spine_ignite.inference.levels.exponents import Weights
from spine_ignite.inference.levels.hypotheses import weigh
from spine_ignite.inference.levels.naming import Naming, log_posterior
from spine_ignite.inference.levels.sequence import SchemeLevels

_WORST = -20.0  # a case that a model takes for impossible counts as this, so that one case does not decide alone
_STEPS = 200


@dataclass(frozen=True, slots=True)
class KnownColumn:
    """A column whose levels are known.

    Args:
        evidence: of its pieces.
        levels: of the scheme.
        truth: levels of each piece, ``()`` for what is no vertebra.
    """

    evidence: Evidence
    levels: SchemeLevels
    truth: Naming


def likelihood(weights: Weights, cases: Sequence[KnownColumn]) -> float:
    """Return the mean log posterior of the true namings."""
    return float(
        np.mean([max(_WORST, log_posterior(weigh(case.evidence, case.levels, weights), case.truth)) for case in cases])
    )


def fit(
    weights: Weights, cases: Sequence[KnownColumn], names: Sequence[str] = ("names", "discs", "odd_sacrum")
) -> Weights:
    """Fit exponents by the likelihood of what is true (a proper score: doubt that is not there costs too).

    By the simplex of Nelder and Mead on the logarithms, which needs no derivatives.

    Args:
        weights: to begin with.
        cases: out-of-fold columns.
        names: fields of the weights that are fitted.
    """
    from scipy.optimize import minimize

    def changed(logarithms: NDArray[np.float64]) -> Weights:
        return replace(weights, **{name: float(np.exp(x)) for name, x in zip(names, logarithms, strict=True)})

    start = np.log([asdict(weights)[name] for name in names])
    found = minimize(
        lambda x: -likelihood(changed(x), cases), start, method="Nelder-Mead", options={"maxfev": _STEPS, "xatol": 0.02}
    )
    return changed(found.x) if -found.fun > likelihood(weights, cases) else weights
