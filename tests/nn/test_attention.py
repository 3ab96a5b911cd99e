from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.nn.attention import BlockwiseAttention, ObjectContext, attend, exact_matmul
from spine_ignite.testing import assert_agrees


def plain_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Written out: for each query a softmax over the keys, and the weighted sum of the values."""
    columns = []
    for n in range(query.shape[2]):
        logits = scale * torch.stack([(query[:, :, n] * key[:, :, m]).sum(1) for m in range(key.shape[2])], 1)
        weights = logits.exp() / logits.exp().sum(1, keepdim=True)
        columns.append((value * weights[:, None]).sum(2))
    return torch.stack(columns, 2)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_attend_is_the_formula(scale: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, c, n, generator=generator, dtype=torch.float64) for c, n in [(4, 7), (4, 5), (6, 5)]
    )
    torch.testing.assert_close(attend(query, key, value, scale), plain_attention(query, key, value, scale or 0.5))


@pytest.mark.parametrize("block", [1, 3, 512])
def test_blocks_of_queries_change_neither_result_nor_gradient(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(BlockwiseAttention, "BLOCK", block)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(2, c, n, generator=generator, dtype=torch.float64, requires_grad=True)
        for c, n in [(4, 7), (4, 5), (6, 5)]
    ]
    found, expected = attend(*inputs), plain_attention(*inputs, scale=0.5)
    out = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(*(torch.autograd.grad(x, inputs, out) for x in (found, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("lengths", [(64, 16), (16, 64)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_under_autocast_keeps_its_logits_in_float32(dtype: torch.dtype, lengths: tuple[int, int]) -> None:
    """Logits of hundreds would be off by one or more, and weights by a factor, were they rounded."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        (size * torch.randn(1, c, 200, generator=generator)).to(dtype).requires_grad_()
        for size, c in [(20, lengths[0]), (20, lengths[0]), (1, lengths[1])]
    )
    with torch.autocast("cpu", dtype):
        found = attend(query, key, value, 0.04)
    found.float().sum().backward()
    assert found.dtype is dtype
    expected = plain_attention(*(x.detach().double() for x in (query, key, value)), 0.04)
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.02)
    for x in (query, key, value):
        assert x.grad is not None
        assert x.grad.dtype is dtype
        assert torch.isfinite(x.grad).all()


def test_products_are_exact_under_autocast() -> None:
    a, b = torch.randn(2, 3, 50), torch.randn(2, 50, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(exact_matmul(a, b), torch.matmul(a.double(), b.double()).float()) or torch.allclose(
            exact_matmul(a, b), (a.double() @ b.double()).float(), atol=1e-5
        )
        assert exact_matmul(a, b).dtype is torch.float32


@pytest.mark.parametrize("anchors", [(), (1, 2)])
@pytest.mark.parametrize("projected", [True, False])
def test_object_context_is_the_formula(anchors: tuple[int, ...], projected: bool) -> None:
    """OCNet's base block (Yuan & Wang 2018, section 3.2) and ANN's pyramid block (Zhu et al. 2019, section 3).

    openseg-group/OCNet.pytorch 679a45b, `oc_module/base_oc_block.py`; MendelXu/ANN f4eabeb, `models/seg/utils/apnb.py`.
    """
    block = ObjectContext(6, 4, 5, 6 if projected else None, "relu", anchors)

    def pool(x: Tensor) -> Tensor:
        if not anchors:
            return x.flatten(2)
        cells = [x[:, :, r, c].mean((2, 3)) for r, c in windows(x.shape[2], x.shape[3], anchors)]
        return torch.stack(cells, 2)

    def reference(x: Tensor) -> Tensor:
        phi = block.transform(x)
        context = plain_attention(phi.flatten(2), pool(phi), pool(block.value(x)), 0.5)
        context = F.conv2d(context.unflatten(2, x.shape[2:]), block.out.weight, block.out.bias)
        return context if block.project is None else block.project(torch.cat([context, x], 1))

    assert_agrees(block, reference, torch.randn(2, 6, 5, 4, generator=torch.Generator().manual_seed(3)))


def windows(height: int, width: int, sizes: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The cells of adaptive pooling: from floor(i n / s) to ceil((i + 1) n / s)."""
    return [
        (slice(i * height // s, -(-(i + 1) * height // s)), slice(j * width // s, -(-(j + 1) * width // s)))
        for s in sizes
        for i in range(s)
        for j in range(s)
    ]
