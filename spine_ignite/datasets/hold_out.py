"""Choose by a seed which patients are held out: a rule under which patients that are added move nobody."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection

_STEPS = 2**32  # of a rank, within a part


def hold_out(
    patients: Collection[str], seed: int, *, validation: float, folds: int, fold: int | None
) -> frozenset[str]:
    """Return the patients to hold out.

    A patient's rank is a function of the seed and its name. With ``fold``, the range of ranks is cut into as many equal
    parts as there are folds; else its first part, the share ``validation``, is held out. So a patient that is added or
    taken away moves no other, while the sides have their share only on average; but of patients whose names end in
    numbers that follow one another (1 to 160, say), each stretch as long as there are parts has one in each part, so
    that the shares come out even.

    Few patients may leave a side empty. No rule can fill it and never move anyone: that comes first, and then a patient
    can move when another is added. With a share, the patient of lowest rank is held out where there would be none (if
    there are two), and that of highest rank is trained on where all would be held out. With folds, an empty fold takes
    the patient of highest rank from the fullest one; of fewer patients than folds each has one to itself.

    Args:
        patients: all that may be trained on, in any order.
        seed: another seed gives another choice.
        validation: share to hold out when ``fold`` is None; 0 holds out nobody.
        folds: number of cross-validation folds.
        fold: the fold to hold out; the folds are disjoint, and together they are all patients.
    """
    if fold is not None:
        return frozenset(patient for patient, number in _folds(patients, seed, folds).items() if number == fold)
    if validation <= 0:
        return frozenset()
    parts = max(2, round(1 / validation))
    ranked = sorted((_rank(seed, patient, parts), patient) for patient in patients)
    count = sum(rank < validation * parts * _STEPS for rank, _ in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    return frozenset(patient for _, patient in ranked[: max(count, 0)])


def keep_fraction(patients: Collection[str], seed: int, fraction: float) -> frozenset[str]:
    """Return the patients that a small trial keeps: the share ``fraction``, rounded up; a smaller share is part of it.

    A patient that is added may take the place of another.
    """
    ranked = sorted(patients, key=lambda patient: (_number(seed, "fraction", patient), patient))
    # Without the small term, rounding would turn 0.07 of 100 patients into 8.
    return frozenset(ranked[: max(1, math.ceil(fraction * len(ranked) - 1e-9))])


def _folds(patients: Collection[str], seed: int, folds: int) -> dict[str, int]:
    ranks = {patient: _rank(seed, patient, folds) for patient in patients}
    ranked = sorted(patients, key=lambda patient: (ranks[patient], patient))
    if len(ranked) <= folds:
        return {patient: number for number, patient in enumerate(ranked)}
    found = {patient: ranks[patient] // _STEPS for patient in ranked}
    for empty in range(folds):
        sizes = Counter(found.values())
        if not sizes[empty]:
            fullest = max(range(folds), key=lambda number: sizes[number])
            found[next(patient for patient in reversed(ranked) if found[patient] == fullest)] = empty
    return found


def _rank(seed: int, patient: str, parts: int) -> int:
    """A number from 0 to ``parts * _STEPS - 1``, spread evenly over stretches of numbered patients."""
    numbered = re.fullmatch(r"(.*?)(\d{1,18})(\D*)", patient)
    if numbered is None:
        return _number(seed, "patient", patient) % (parts * _STEPS)
    stretch, place = divmod(int(numbered.group(2)), parts)
    key = (numbered.group(1), numbered.group(3), stretch)
    order = sorted(range(parts), key=lambda part: _number(seed, "part", *key, part))
    return order[place] * _STEPS + _number(seed, "patient", patient) % _STEPS


def _number(seed: int, *what: object) -> int:
    return int.from_bytes(hashlib.sha256(repr((seed, *what)).encode()).digest()[:16], "big")
