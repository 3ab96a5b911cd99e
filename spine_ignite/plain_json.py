"""Values as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any


def plain_data(value: Any) -> Any:
    """Return a value as ``json`` writes it and every reader of JSON takes it, whatever is nested in it.

    Tuples become lists, keys and paths text, NumPy's floating numbers Python's. What JSON has no number for, NaN and
    infinite values, becomes None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value) if math.isfinite(value) else None
    return value
