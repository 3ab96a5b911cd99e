from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.nn.unpooling import pool_with_indices, unpool


@settings(max_examples=40)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_unpooling_puts_every_maximum_back(height: int, width: int, seed: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    pooled, indices = pool_with_indices(x)
    assert pooled.shape == (2, 3, -(-height // 2), -(-width // 2))
    back = unpool(pooled, indices, (height, width))
    kept = back != 0
    assert torch.equal(back[kept], x[kept])
    assert int(kept.sum()) == pooled.numel()
    for row in range(0, height, 2):
        for column in range(0, width, 2):
            window = (..., slice(row, row + 2), slice(column, column + 2))
            assert torch.equal(back[window].sum((2, 3)), x[window].amax((2, 3)))


def test_even_sizes_agree_with_torch_in_value_and_gradient() -> None:
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    _, indices = pool_with_indices(x)
    values = torch.randn(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    mine, theirs = unpool(values, indices, (8, 6)), F.max_unpool2d(values, indices, 2)
    assert torch.equal(mine, theirs)
    gradients = [torch.autograd.grad((out * weights).sum(), values)[0] for out in (mine, theirs)]
    assert torch.equal(*gradients)
