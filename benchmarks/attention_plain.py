"""The attention blocks written out as their papers' formulas say, to be compared with by ``attention.py``.

Logits of unscaled dot products and all softmaxes are in float32, as the blocks have them; the rest follows autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.nn.attention import ResidualAttention, exact_matmul
from spine_ignite_danet.model import ChannelAttention
from spine_ignite_emanet.model import EMAttention
from spine_ignite_psanet.attention import Branch


def parts(block: ResidualAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as columns."""
    return block.query(x).flatten(2), block.key(x).flatten(2), block.value(x).flatten(2)


def cross_of(x: Tensor) -> Tensor:
    """Whether two pixels share a row or a column, ``(N, N)``."""
    place = torch.arange(x.shape[-2] * x.shape[-1])
    row, column = place // x.shape[-1], place % x.shape[-1]
    return (row[:, None] == row) | (column[:, None] == column)


def criss_cross(block: ResidualAttention, x: Tensor) -> Tensor:
    """Attention between all pixels, with all but the cross masked."""
    query, key, value = parts(block, x)
    logits = exact_matmul(query.transpose(1, 2), key).masked_fill(~cross_of(x), float("-inf"))
    context = torch.matmul(value, logits.softmax(2).transpose(1, 2))
    return x + block.gamma * context.reshape(x.shape)


def position(block: ResidualAttention, x: Tensor) -> Tensor:
    """Attention between all pixels."""
    query, key, value = parts(block, x)
    weights = exact_matmul(query.transpose(1, 2), key).softmax(2)
    return x + block.gamma * torch.matmul(value, weights.transpose(1, 2)).reshape(x.shape)


def fused(block: ResidualAttention, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same by ``scaled_dot_product_attention``; keys are padded to the values' length, which its kernel demands."""
    query, key, value = (part.transpose(1, 2)[:, None].contiguous() for part in parts(block, x))
    lacking = value.shape[-1] - key.shape[-1]
    query, key = F.pad(query, (0, lacking)), F.pad(key, (0, lacking))
    context = F.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
    return x + block.gamma * context[:, 0].transpose(1, 2).reshape(x.shape)


def fused_criss_cross(block: ResidualAttention, x: Tensor) -> Tensor:
    """Criss-cross attention by the fused kernel and a mask."""
    return fused(block, x, cross_of(x))


def channel(block: ChannelAttention, x: Tensor) -> Tensor:
    """Attention between channels; the greatest energy of a row less the others, as in the authors' release."""
    columns = x.flatten(2)
    energy = exact_matmul(columns, columns.transpose(1, 2))
    weights = (energy.amax(2, keepdim=True) - energy).softmax(2)
    return x + block.gamma * torch.matmul(weights, columns).reshape(x.shape)


def pointwise(block: Branch, x: Tensor) -> Tensor:
    """A mask of all offsets for each position, spread over pairs of positions by ``gather``."""
    rows, columns = x.shape[-2:]
    masks = block.predict(x).float().flatten(2)
    reach = (block.mask - 1) // 2
    place = torch.arange(rows * columns)
    row, column = place // columns, place % columns
    down, right = row[:, None] - row + reach, column[:, None] - column + reach
    inside = (down >= 0) & (down < block.mask) & (right >= 0) & (right < block.mask)
    offset = torch.where(inside, down * block.mask + right, 0)
    logits = masks.gather(1, offset.expand(len(x), -1, -1)) * inside
    weights = (logits if block.direction == "collect" else logits.transpose(1, 2)).softmax(1)
    return torch.matmul(x.flatten(2), weights).reshape(x.shape)


def expectation_maximisation(block: EMAttention, x: Tensor) -> Tensor:
    """Three E and M steps without gradient, and the pixels rebuilt from the bases."""
    with torch.no_grad():
        pixels = block.before(x).float().flatten(2)
        with torch.autocast("cpu", enabled=False):
            bases = block.bases.expand(len(x), -1, -1)
            for _ in range(block.rounds):
                assignment = torch.matmul(pixels.transpose(1, 2), bases).softmax(2)
                bases = torch.matmul(pixels, assignment / (1e-6 + assignment.sum(1, keepdim=True)))
                bases = bases / (1e-6 + bases.norm(dim=1, keepdim=True))
        block.bases.lerp_(bases.mean(0, keepdim=True), 1 - block.momentum)
    rebuilt = F.relu(torch.matmul(bases, assignment.transpose(1, 2)).reshape(x.shape))
    return F.relu(block.after(rebuilt) + x)
