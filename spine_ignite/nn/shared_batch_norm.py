"""Batch normalisation over the rows of all processes, on any device.

torch's ``SyncBatchNorm`` refuses tensors on a CPU, and a process without rows. This one takes the place of the batch
norms of a network that is there already, and does as they do unless rows of the batch are in other processes
(:mod:`spine_ignite.machine.whole_batch`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.machine.processes import Processes
from spine_ignite.machine.whole_batch import shared_by
from spine_ignite.nn.blocks import BatchNorm2d

_PIXELS = (0, 2, 3)


class SharedBatchNorm2d(BatchNorm2d):
    """Batch normalisation whose mean and variance are those of the rows of all processes.

    With a single value per channel in all of them together it uses the running statistics, as
    :class:`.blocks.BatchNorm2d` does. A row that a process has only in order to have something does not count.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.BatchNorm2d gives it
        """Normalise ``(B, C, H, W)``."""
        shared = shared_by() if self.training else None
        return super().forward(input) if shared is None else _over_all(self, input, *shared)


class SharedBatchNormAct2d(SharedBatchNorm2d):
    """The same for timm's batch norm, which has an activation behind it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Normalise ``(B, C, H, W)``, and apply the activation."""
        result: Tensor = self.act(self.drop(super().forward(input)))
        return result


def share_batch_norms(network: nn.Module) -> None:
    """Let the batch norms of a network count the rows of all processes; parameters and buffers stay what they are.

    Raises:
        UsageError: a batch norm is of a kind that is not known.
    """
    for name, module in network.named_modules():
        kind = type(module)
        if kind in (nn.BatchNorm2d, BatchNorm2d):
            module.__class__ = SharedBatchNorm2d
        elif kind.__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNormAct2d
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, SharedBatchNorm2d):
            raise UsageError(
                f"train.sync_batch_norm cannot be used with this network: {name} is a {kind.__name__}, of which only "
                "its author knows what it does; leave it out"
            )


def _over_all(norm: SharedBatchNorm2d, x: Tensor, processes: Processes, of: int) -> Tensor:
    total = of * x.shape[2] * x.shape[3]
    if total == 1 and norm.running_mean is not None:
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    result, mean, variance = _OverAll.apply(x, norm.weight, norm.bias, norm.eps, processes, of)  # type: ignore[no-untyped-call]
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
            norm.running_var.lerp_((variance * (total / (total - 1))).to(norm.running_var.dtype), share)
    normalised: Tensor = result
    return normalised


class _OverAll(torch.autograd.Function):
    """Statistics of the parts are put together as in Chan et al. 1979: sums of squares would lose digits."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, processes: Processes, of: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = x[: len(processes.share.rows(of))]
        dtype = torch.promote_types(x.dtype, torch.float32)
        parts = torch.zeros((processes.count, 1 + 2 * x.shape[1]), dtype=dtype, device=x.device)
        if len(own):
            variance, mean = torch.var_mean(own.to(dtype), _PIXELS, correction=0)
            parts[processes.number] = torch.cat([mean.new_full((1,), len(own) / of), mean, variance])
        share, means, variances = processes.add_up(parts).split([1, x.shape[1], x.shape[1]], 1)
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean).square())).sum(0)
        result = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.processes, ctx.of, ctx.counts = processes, of, bool(len(own))
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, factor = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype)
        normal = (x - mean[:, None, None]).mul_(factor[:, None, None])
        of_bias, of_weight = gradient.sum(_PIXELS), (gradient * normal).sum(_PIXELS)
        total = ctx.of * x.shape[2] * x.shape[3]
        shift, slope = (ctx.processes.add_up(torch.cat([of_bias, of_weight])) / total).chunk(2)
        if weight is not None:
            factor = factor * weight
        if ctx.counts:
            gradient = gradient - shift[:, None, None] - normal.mul_(slope[:, None, None])
        of_x = (gradient * factor[:, None, None]).to(x.dtype)
        if weight is None:
            return of_x, None, None, None, None, None
        return of_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None, None
