"""Split training cases into those trained on and those held out, by case and never by slice."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence


def split_cases(
    names: Sequence[str], seed: int, *, validation: float, folds: int, fold: int | None, fraction: float = 1.0
) -> tuple[list[str], list[str]]:
    """Return the names to train on and the names to validate on.

    The order is a hash of seed and name, so that it does not depend on the order or number of the files: adding a case
    moves no other.

    Args:
        names: the training cases.
        seed: another seed gives another split.
        validation: share held out when ``fold`` is None; at least one case if above 0 and there are two.
        folds: number of cross-validation folds.
        fold: the fold to hold out; the folds are disjoint, and together they are all cases.
        fraction: share of the training part that is kept, for small trials; the validation part stays whole.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if fold is not None:
        held_out = shuffled[fold::folds]
    else:
        count = round(validation * len(shuffled))
        if validation > 0 and len(shuffled) > 1:
            count = min(max(count, 1), len(shuffled) - 1)
        held_out = shuffled[:count]
    rest = [name for name in shuffled if name not in set(held_out)]
    kept = rest[: max(1, math.ceil(fraction * len(rest)))]
    return kept, held_out
