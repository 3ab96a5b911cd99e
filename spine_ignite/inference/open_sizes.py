"""Operations that exporters know for fixed sizes alone, written so that height and width may be open."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class OpenPooling(TorchFunctionMode):
    """Takes adaptive average pooling as two products with matrices, which are computed from the size of the input."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked, pooling by matrices."""
        if func is F.adaptive_avg_pool2d:
            return pool(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def pool(input: Tensor, output_size: Any) -> Tensor:  # noqa: A002 (the names of torch's function)
    """Return what ``adaptive_avg_pool2d`` does: means of ``(B, C, H, W)`` over a grid of bins."""
    sizes = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    bins = [have if want is None else want for want, have in zip(sizes, input.shape[-2:], strict=True)]
    if bins == [1, 1]:
        return input.mean((-2, -1), keepdim=True)
    rows, columns = (bins_of(count, size, input) for count, size in zip(bins, input.shape[-2:], strict=True))
    return rows @ input @ columns.T


def bins_of(count: int, size: int, like: Tensor) -> Tensor:
    """Return the matrix ``(count, size)`` of means; bin i goes from floor(i n / k) to ceil((i + 1) n / k)."""
    number = torch.arange(count, device=like.device)
    start = torch.div(number * size, count, rounding_mode="floor")
    stop = torch.div((number + 1) * size + (count - 1), count, rounding_mode="floor")
    place = torch.arange(size, device=like.device)
    inside = (place >= start[:, None]) & (place < stop[:, None])
    return inside.to(like.dtype) / (stop - start)[:, None].to(like.dtype)
