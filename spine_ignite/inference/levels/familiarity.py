"""Whether an input is like those that a calibration rests on, by ranks, and in what it differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.inference.levels.traits import TRAITS

Floats = NDArray[np.float64]
_TAIL = 0.025  # of the cases on either side: a trait's usual range is what lies between
_FEWEST = 5  # cases that must have a trait, for it to be judged


@dataclass(frozen=True)
class Familiarity:
    """The traits of known cases, beside which a new case is ranked.

    A case is as strange as its strangest trait: how far that lies from the median, in units of the way from there to
    the end of the usual range on its side, or of the least difference that matters if that is more. It is unlike the
    known cases if at most ``share`` of all cases, itself included, are as strange or stranger (a conformal p-value with
    the new case in the bag: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, ch. 2; for
    anomalies Laxhammar and Falkman, Ann Math Artif Intell 74:67, 2015). Since the new case takes part in medians and
    ranges as every other, at most ``share`` of new cases are flagged on average over draws of the known ones, however
    traits are distributed, as long as the new ones are exchangeable with these: other cases of the same kind, and one
    of each patient.

    Args:
        rows: traits of each known case, see :func:`~spine_ignite.inference.levels.traits.traits`.
        share: of new cases like these that may be flagged.
    """

    rows: tuple[Mapping[str, float], ...]
    share: float = 0.05

    @classmethod
    def fit(cls, rows: Sequence[Mapping[str, float]], share: float = 0.05) -> Familiarity:
        """Keep what is needed of the known cases.

        Args:
            rows: their traits; what is no trait, or no number, is left out, and so are cases without any.
            share: of new cases like these that may be flagged.
        """
        known = [{k: float(v) for k, v in row.items() if k in TRAITS and math.isfinite(v)} for row in rows]
        return cls(tuple(row for row in known if row), share)

    @property
    def supported(self) -> float:
        """The share that is flagged at most: the one that was asked for, or the least that so few cases can tell.

        Among ``n`` cases and a new one the strangest is found by chance with a probability of ``1 / (n + 1)``, so that
        19 cases are needed for 5 %. With fewer what is stranger than all of them is flagged.
        """
        return max(self.share, 1 / (len(self.rows) + 1))

    def reasons(self, row: Mapping[str, float]) -> list[str]:
        """Say in words in which traits a case is unlike the known ones; nothing if it is like them.

        Args:
            row: its traits.
        """
        if not self.rows:
            return []
        names = [name for name in TRAITS if name in row or any(name in known for known in self.rows)]
        table = np.array([[known.get(name, np.nan) for name in names] for known in (*self.rows, row)], float)
        strange = _strangeness(table, np.array([TRAITS[name].least for name in names]))
        case = strange.max(axis=1, initial=0.0)
        allowed = int(self.supported * len(case) + 1e-9)
        if case[-1] == 0 or np.count_nonzero(case >= case[-1]) > allowed:
            return []
        usual = np.sort(case[:-1])[-allowed]  # what is not flagged may be as strange
        told = [(degree, name) for name, degree in zip(names, strange[-1], strict=True) if degree > usual]
        return list(dict.fromkeys(TRAITS[name].unlike for _, name in sorted(told, key=lambda item: -item[0])))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"share": self.share, "rows": [dict(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Familiarity:
        """Read what :meth:`to_dict` gave."""
        return cls.fit(data["rows"], float(data["share"]))


def _strangeness(table: Floats, least: Floats) -> Floats:
    """Return how far each trait of each case lies from the usual, ``(cases, traits)``; 0 for unknown ones.

    Args:
        table: traits of all cases ``(cases, traits)``, NaN where a case does not have one.
        least: difference in each trait that matters.
    """
    strange = np.zeros(table.shape)
    for place, (values, matters) in enumerate(zip(table.T, least, strict=True)):
        known = np.isfinite(values)
        if known.sum() < _FEWEST:
            continue
        low, middle, high = np.quantile(values[known], [_TAIL, 0.5, 1 - _TAIL])
        away = values[known] - middle
        unit = np.where(away > 0, max(high - middle, matters), max(middle - low, matters))
        strange[known, place] = np.abs(away) / unit
    return strange
