"""What every step of the clean-up gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A volume's class indices after clean-up, and what was done in a few words."""

    indices: NDArray[np.uint8]
    message: str
