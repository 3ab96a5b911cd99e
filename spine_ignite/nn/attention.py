"""Attention over the pixels of a feature map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from spine_ignite.nn.blocks import Activation, ConvNormAct, resize


def exact_matmul(first: Tensor, second: Tensor) -> Tensor:
    """Matrix product in float32 (or float64), also under autocast.

    Unscaled dot products of hundreds of channels lose too much in bfloat16 and overflow in float16.
    """
    with torch.autocast(first.device.type, enabled=False):
        return torch.matmul(at_least_float32(first), at_least_float32(second))


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or as it is where it is float64."""
    return x if x.dtype is torch.float64 else x.float()


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Dot-product attention between pixels given as columns.

    On the CPU torch's fused kernel demands values as long as the keys, and in float32 it is slower than the plain
    matrices; there the queries are taken block by block (``benchmarks/attention.py`` compares).

    Args:
        query: ``(B, C, N)``.
        key: ``(B, C, M)``.
        value: ``(B, D, M)``.
        scale: of the dot products; by default ``1 / sqrt(C)``.

    Returns:
        ``(B, D, N)``: column n is the mean of value's columns with weights ``softmax_m(scale * query_n . key_m)``.
        Logits and softmax are in float32, also under autocast. No N x M matrix is kept, forward or backward, on the CPU
        and where torch has a fused kernel.
    """
    with torch.autocast(query.device.type, enabled=False):
        if query.device.type == "cpu" and query.dtype is key.dtype is value.dtype is torch.bfloat16:
            return _fused(query, key, value, scale)  # this kernel keeps logits of bfloat16 in float32
        query, key = at_least_float32(query), at_least_float32(key)
        if query.device.type != "cpu" or torch.compiler.is_compiling():
            return _fused(query, key, at_least_float32(value), scale)
        query = query * (query.shape[1] ** -0.5 if scale is None else scale)
        out: Tensor = BlockwiseAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
        return out


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """Torch's own; on the CPU keys are padded to the values' length, or values to the keys'."""
    scale = query.shape[1] ** -0.5 if scale is None else scale
    channels = value.shape[1]
    q, k, v = (x.transpose(1, 2)[:, None] for x in (query, key, value))
    if query.device.type == "cpu":
        longest = max(query.shape[1], channels)
        q, k, v = (F.pad(x, (0, longest - x.shape[-1])).contiguous() for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale)[:, 0, :, :channels].transpose(1, 2)


class BlockwiseAttention(torch.autograd.Function):
    """Softmax of dot products, times values, for ``BLOCK`` queries at a time; backward computes the weights again.

    So memory is linear in the number of pixels, as in Dao et al. 2022 (FlashAttention), and each block stays near the
    cache. Arguments as ``attend`` has them, the scale applied, queries and keys in float32 or float64.
    """

    BLOCK = 192  # more are no faster

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return ``(B, D, N)`` in the dtype of ``value``."""
        out = value.new_empty(value.shape[0], value.shape[1], query.shape[2])
        for block, weights in BlockwiseAttention._blocks(query, key):
            out[:, :, block] = torch.bmm(value, weights.to(value.dtype).transpose(1, 2))
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of query, key and value."""
        query, key, value, out = ctx.saved_tensors
        found_query, found_key = torch.empty_like(query), torch.zeros_like(key)
        found_value = torch.zeros_like(value, dtype=query.dtype)
        with torch.autocast(query.device.type, enabled=False):
            for block, weights in BlockwiseAttention._blocks(query, key):
                part = grad[:, :, block]
                add_product(found_value, part, weights.to(value.dtype))
                # The softmax's gradient is weights * (g - mean of g under the weights), and that mean is grad . out.
                mean = (part * out[:, :, block]).sum(1, dtype=query.dtype)[:, :, None]
                logits = torch.bmm(part.transpose(1, 2), value).to(query.dtype).sub_(mean).mul_(weights)
                found_query[:, :, block] = torch.bmm(key, logits.transpose(1, 2))
                add_product(found_key, query[:, :, block], logits)
        return found_query, found_key, found_value.to(value.dtype)

    @staticmethod
    def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Give slices of the queries and their weights ``(B, n, M)``, in memory that the next block overwrites."""
        batch, _, pixels = query.shape
        size = min(BlockwiseAttention.BLOCK, pixels)
        memory = query.new_empty(batch * size * key.shape[2])
        for start in range(0, pixels, size):
            block = slice(start, min(start + size, pixels))
            weights = memory[: batch * (block.stop - start) * key.shape[2]].view(batch, -1, key.shape[2])
            torch.bmm(query[:, :, block].transpose(1, 2), key, out=weights)
            yield block, torch.softmax(weights, -1, out=weights)


def add_product(total: Tensor, first: Tensor, second: Tensor) -> None:
    """Add the batched matrix product to ``total`` in place; it may be in a wider dtype."""
    if total.dtype is first.dtype:
        total.baddbmm_(first, second)
    else:
        total.add_(torch.bmm(first, second))


class ResidualAttention(nn.Module, ABC):
    """Queries, keys and values by 1x1 convolutions; what a subclass gathers with them is added to the input.

    It is scaled by ``gamma``, which starts at zero, so that training starts from the input alone.

    Args:
        channels: of input, values and output; queries and keys have an eighth of them, at least one.
        bias: whether the convolutions have biases.
    """

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(channels // 8, 1), 1, bias=bias)
        self.key = nn.Conv2d(channels, max(channels // 8, 1), 1, bias=bias)
        self.value = nn.Conv2d(channels, channels, 1, bias=bias)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        return torch.addcmul(x, self.gamma, self.gather(self.query(x), self.key(x), self.value(x)))

    @abstractmethod
    def gather(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return what each pixel finds, in the shape of ``value``."""


class ObjectContext(nn.Module):
    """Context by attention, concatenated with the input and projected: OCNet's and ANN's block.

    Queries and keys are one transform of the input (1x1 convolution, batch norm, activation), values another; the dot
    products are divided by the root of their length. With ``anchors`` keys and values are averaged over grids of these
    sizes first, and each pixel looks at their cells only.

    ``forward`` gives ``(B, out_channels, h, w)`` with the projection ``1x1 [context ; x]``, normalised and activated.
    The context's output convolution starts at zero, so that training starts from the input alone.

    Sources: Yuan & Wang 2018 (OCNet), section 3.2; Zhu et al. 2019 (ANN), section 3.3 (asymmetric pyramid block).

    Args:
        channels: input channels.
        key_channels: of queries and keys.
        value_channels: of values.
        out_channels: of the projection; ``None`` leaves it out, and ``forward`` gives the context alone, with
            ``channels`` channels.
        activation: of the transform and of the projection.
        anchors: rows and columns of the grids; none: every pixel is a key.
        scale: attention at ``1 / scale`` of the resolution (max pooling, rounded down), resized back.
        dropout: channel dropout after the projection.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        value_channels: int,
        out_channels: int | None,
        activation: Activation,
        anchors: Sequence[int] = (),
        scale: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.transform = ConvNormAct(channels, key_channels, 1, activation=activation, bias=True)
        self.value = nn.Conv2d(channels, value_channels, 1)
        self.out = zero_conv(value_channels, channels)
        self.project: nn.Module | None = None
        if out_channels is not None:
            conv = ConvNormAct(2 * channels, out_channels, 1, activation=activation, bias=True)
            self.project = nn.Sequential(conv, nn.Dropout2d(dropout))
        self.anchors = tuple(anchors)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to ``(B, out_channels, h, w)``."""
        small = x
        if self.scale > 1:  # no window is larger than the map
            small = F.max_pool2d(x, (min(self.scale, x.shape[-2]), min(self.scale, x.shape[-1])))
        context = self.gather(self.transform(small), self.value(small))
        context = resize(self.out(context), (x.shape[-2], x.shape[-1]), align_corners=True)
        if self.project is None:
            return context
        out: Tensor = self.project(torch.cat([context, x], 1))
        return out

    def gather(self, query: Tensor, value: Tensor) -> Tensor:
        """Return what each pixel finds, in the shape of ``value``; the queries ``(B, K, h, w)`` are the keys too."""
        key, values = as_anchors(query, self.anchors), as_anchors(value, self.anchors)
        found: Tensor = attend(query.flatten(2), key, values).unflatten(2, query.shape[-2:])
        return found


def as_anchors(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Flatten ``(B, C, h, w)`` to ``(B, C, h * w)``, or average it over grids of these sizes."""
    if not sizes:
        return x.flatten(2)
    return torch.cat([F.adaptive_avg_pool2d(x, size).flatten(2) for size in sizes], 2)


def zero_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 1x1 convolution whose weights and biases start at zero."""
    conv = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
