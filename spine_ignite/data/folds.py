"""Split training cases into those trained on and those held out, by case and never by slice."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence


def split_cases(
    names: Sequence[str], seed: int, *, validation: float, folds: int, fold: int | None, fraction: float = 1.0
) -> tuple[list[str], list[str]]:
    """Return the names to train on and the names to validate on.

    Cases are ranked by a hash of seed and name, so that the split does not depend on the order in which they are found,
    and a case that is added moves few others.

    Args:
        names: the training cases.
        seed: another seed gives another split.
        validation: share held out when ``fold`` is None; if above 0 at least one case, where one is left to train on.
        folds: number of cross-validation folds.
        fold: the fold to hold out; the folds are disjoint, and together they are all cases.
        fraction: share of the training part that is kept, for small trials; the validation part stays whole.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if fold is not None:
        held_out = shuffled[fold::folds]
    else:
        least = 1 if validation > 0 else 0
        count = min(max(round(validation * len(shuffled)), least), len(shuffled) - 1)
        held_out = shuffled[: max(count, 0)]
    out = set(held_out)
    rest = [name for name in shuffled if name not in out]
    # Without the small term, rounding would turn 0.07 of 100 cases into 8.
    return rest[: max(1, math.ceil(fraction * len(rest) - 1e-9))], held_out
