"""What every step of the clean-up gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spine_ignite.inference.levels.column import Column


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A volume's class indices after clean-up, what was done in a few words, and its column if that was named."""

    indices: NDArray[np.uint8]
    message: str
    column: Column | None = None
