"""Whether a column is accepted at a stated risk, and on what that rests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spine_ignite.inference.levels.bounds import percent
from spine_ignite.inference.levels.calibration import Calibration, Support, difference
from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.names import counted

RISK = 0.02
UNCALIBRATED = "uncalibrated"
OF_LABELS = "a label map alone does not tell how often it is wrong"
OF_UNKNOWN = "no cases are known that this network has not seen; cross-validate finds them"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is promised of a column.

    Args:
        accepted: whether it may pass without a look at its levels.
        risk: the probability of a wrong column among the accepted ones, at most.
        calibration: on what that rests, in words; begins with ``uncalibrated`` where it rests on nothing.
        rests_on: the same in numbers; None where there are none.
        reasons: what speaks against its input.
    """

    accepted: bool
    risk: float
    calibration: str
    rests_on: Mapping[str, Any] | None = None
    reasons: tuple[str, ...] = ()


def uncalibrated(risk: float = RISK, why: str = OF_LABELS) -> Certificate:
    """Return the certificate of a column of whose risk nothing is known."""
    return Certificate(False, risk, f"{UNCALIBRATED}: {why}")


@dataclass(frozen=True)
class Certifier:
    """Accepts columns of one predictor, or asks about them.

    Args:
        risk: probability of a wrong column among the accepted ones, at most.
        calibration: of its networks; None without one.
        basis: of its predictions, see :func:`~.calibration.basis_of`.
        why: why there is no calibration.
    """

    risk: float = RISK
    calibration: Calibration | None = None
    basis: Mapping[str, Any] | None = None
    why: str = OF_UNKNOWN

    def certify(
        self, column: Column, *, phantom: bool = False, traits: Mapping[str, float] | None = None
    ) -> Certificate:
        """Return the certificate of a column.

        Args:
            column: as it was named.
            phantom: whether no person was in the scanner.
            traits: of its input, which is held against those of its kind in the calibration.
        """
        unlike = self.unlike(traits, phantom)
        asks = any(reason.asks for reason in reasons(column)) or not column.given.is_empty
        return replace(self.judge(column.score, bool(unlike) or asks, phantom), reasons=tuple(unlike))

    def unlike(self, traits: Mapping[str, float] | None, phantom: bool) -> list[str]:
        """Return in what an input is unlike those of its kind in the calibration, by its traits."""
        return self.calibration.known(phantom).reasons(traits) if self.calibration is not None and traits else []

    def judge(self, posterior: float, asks: bool, phantom: bool) -> Certificate:
        """Return the certificate of a column by what is written of it.

        Args:
            posterior: as it is written; 0 without a column.
            asks: whether it is asked about however high that is.
            phantom: whether no person was in the scanner.
        """
        if self.calibration is None or self.basis is None:
            return uncalibrated(self.risk, self.why)
        other = difference(self.calibration.basis, self.basis)
        if other is not None:
            return uncalibrated(self.risk, other)
        support = self.calibration.of_kind(phantom)
        if not support.columns:
            kinds = ("people", "phantoms") if phantom else ("phantoms", "people")
            return uncalibrated(self.risk, f"it was calibrated on {kinds[0]} alone, which says nothing of {kinds[1]}")
        networks = len(self.basis["networks"])
        numbers = _numbers(support, self.risk) | {"networks": networks}
        threshold = support.threshold(self.risk)
        if threshold is None:
            return Certificate(False, self.risk, _too_few(support, self.risk), numbers)
        words = (
            f"of {counted(threshold.cases, 'patient')} with a posterior of at least {threshold.posterior:g} "
            f"{threshold.errors or 'none'} had a wrong column: at most {percent(threshold.bound)}, with 95 % confidence"
        )
        if networks > 1:
            words += "; counted of each network by itself, assumed of their mean"
        accepted = posterior >= threshold.posterior and not asks
        return Certificate(accepted, self.risk, words, numbers)


def _too_few(support: Support, risk: float) -> str:
    patients = support.patients
    wrong = sum(not right for _, right in patients)
    said = f"{counted(len(patients), 'patient')}, {wrong or 'none'} of them with a wrong column,"
    least = support.smallest_risk
    supported = f"{said} support {percent(least)} at the least" if least is not None else f"{said} support no risk"
    return f"{UNCALIBRATED} at a risk of {percent(risk)}: {supported}; {support.needed(risk)} are needed"


def _numbers(support: Support, risk: float) -> dict[str, Any]:
    threshold = support.threshold(risk)
    found: dict[str, Any] = {
        "columns": len(support.columns),
        "patients": len(support.patients),
        "wrong": sum(not right for _, right in support.patients),
        "smallest_risk": support.smallest_risk,
    }
    if threshold is None:
        return found | {"threshold": None, "patients_needed": support.needed(risk)}
    above = {"patients_above": threshold.cases, "wrong_above": threshold.errors, "bound": round(threshold.bound, 5)}
    return found | {"threshold": threshold.posterior, **above}
