"""Seeds as functions of where in training one is, so that nothing depends on what happened before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int) -> int:
    """Return a 63-bit seed that is a well-mixed function of non-negative integers."""
    high, low = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return (int(high) << 32 | int(low)) >> 1


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Let torch's CPU generator start from ``seed`` within the block and go on as before after it."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
